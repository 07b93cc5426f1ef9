// SPDX-License-Identifier: Apache-2.0

package extensions

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	api "istio.io/api/extensions/v1alpha1"
	extensions "istio.io/client-go/pkg/apis/extensions/v1alpha1"
)

const maxURL = 2048

// source reads where the module is: to be fetched, or a file of the proxy.
func (r *reader) source(o *extensions.WasmPlugin) (wanted Wanted, file string) {
	spec := &o.Spec
	sum := spec.GetSha256()
	if sum != "" && !isDigest(sum) {
		r.refuse("spec.sha256", "%.100q is no SHA-256 sum; give 64 hexadecimal digits in lower case", sum)
	}
	if _, known := api.PullPolicy_name[int32(spec.GetImagePullPolicy())]; !known {
		r.refuse("spec.imagePullPolicy", "%v is none; use IfNotPresent or Always", spec.GetImagePullPolicy())
	}
	address := spec.GetUrl()
	if address == "" || len(address) > maxURL {
		r.refuse("spec.url", "it has %d characters; give the address of a module, of at most %d", len(address), maxURL)
		return Wanted{}, ""
	}
	scheme, rest, found := strings.Cut(address, "://")
	if !found {
		scheme, rest = "oci", address
	}
	switch strings.ToLower(scheme) {
	case "file":
		return Wanted{}, r.file(spec, rest)
	case "http", "https":
		return r.http(o, address), ""
	case "oci":
		return r.image(o, rest), ""
	}
	r.refuse("spec.url", "modules can't be fetched by %.100q; use oci://, https://, http:// or file://", scheme+"://")
	return Wanted{}, ""
}

// file of the proxy's own container; nobody fetches it.
func (r *reader) file(spec *api.WasmPlugin, name string) string {
	if !strings.HasPrefix(name, "/") || path.Clean(name) != name {
		r.refuse("spec.url", "%.100q is no absolute path; write file:///path/of/module.wasm", name)
	}
	for field, set := range map[string]bool{
		"spec.sha256": spec.GetSha256() != "", "spec.imagePullPolicy": spec.GetImagePullPolicy() != api.PullPolicy_UNSPECIFIED_POLICY,
		"spec.imagePullSecret": spec.GetImagePullSecret() != "",
	} {
		if set {
			r.tell(field, notSupported, "the module is a file of the proxy, which nobody fetches, so this has no effect; remove it, or use oci:// or https://")
		}
	}
	slices.SortFunc(r.problems, compareFields)
	return name
}

func (r *reader) http(o *extensions.WasmPlugin, address string) Wanted {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Hostname() == "":
		r.refuse("spec.url", "%.100q can't be read as an address; write https://host/path", address)
	case u.User != nil:
		r.refuse("spec.url", "it has a user name or a password, which everybody could read who may read the object; serve the module without")
	}
	if o.Spec.GetImagePullSecret() != "" {
		r.tell("spec.imagePullSecret", notSupported, "it is for images (oci://) and isn't sent to other servers; remove it, or put the module into a registry")
	}
	return Wanted{URL: address, SHA256: o.Spec.GetSha256(), Revision: r.revision(o, false, o.Spec.GetSha256() != "")}
}

func (r *reader) image(o *extensions.WasmPlugin, reference string) Wanted {
	ref, err := ParseImage(reference)
	sum := o.Spec.GetSha256()
	switch {
	case err != nil:
		r.refuse("spec.url", "%v", err)
	case ref.Digest != "" && sum != "" && ref.Digest != "sha256:"+sum:
		r.refuse("spec.sha256", "the digest in spec.url is another one; make them equal, or remove this one")
	}
	w := Wanted{URL: "oci://" + reference, SHA256: sum, Revision: r.revision(o, ref.Digest == "" && ref.Tag == "latest", ref.Digest != "" || sum != "")}
	if secret := o.Spec.GetImagePullSecret(); secret != "" {
		w.Namespace, w.Secret = o.Namespace, secret
	}
	return w
}

// revision of an object whose module is fetched again when the object changes.
// Statuses don't count: the mesh writes them itself.
func (r *reader) revision(o *extensions.WasmPlugin, latest, pinned bool) string {
	policy := o.Spec.GetImagePullPolicy()
	always := policy == api.PullPolicy_Always || policy == api.PullPolicy_UNSPECIFIED_POLICY && latest
	if !always || pinned {
		return ""
	}
	h := sha256.New()
	for _, m := range []map[string]string{o.Labels, o.Annotations} {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			fmt.Fprintf(h, "%q=%q,", k, m[k])
		}
		fmt.Fprint(h, ";")
	}
	return fmt.Sprintf("%s/%s/%s/%d/%s", o.Namespace, o.Name, o.UID, o.Generation, hex.EncodeToString(h.Sum(nil)[:8]))
}

func isDigest(s string) bool {
	if len(s) != 64 {
		return false
	}
	return !strings.ContainsFunc(s, func(c rune) bool { return (c < '0' || c > '9') && (c < 'a' || c > 'f') })
}
