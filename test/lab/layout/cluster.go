// SPDX-License-Identifier: Apache-2.0

package layout

import "path/filepath"

const specName = "cluster.json"

// Cluster is the folders and names of one cluster. Dir is kept over a stop and
// a start; Run is not.
type Cluster struct {
	Name string
	Dir  string
	Run  string
}

// Spec is the file that says what the cluster is; it exists exactly as long
// as the cluster does.
func (c Cluster) Spec() string { return filepath.Join(c.Dir, specName) }

// Record identifies the process that all others of the cluster live under.
func (c Cluster) Record() string { return filepath.Join(c.Dir, "node.json") }

// States is what that process knows of the components that it started.
func (c Cluster) States() string { return filepath.Join(c.Dir, "components.json") }

// Loaded lists the images that the cluster's containerd has.
func (c Cluster) Loaded() string { return filepath.Join(c.Dir, "loaded.json") }

// PKI is the path of a key or certificate.
func (c Cluster) PKI(name string) string { return filepath.Join(c.Dir, "pki", name) }

// Config is the path of a component's configuration.
func (c Cluster) Config(name string) string { return filepath.Join(c.Dir, "config", name) }

// Log is the path of a component's log.
func (c Cluster) Log(component string) string {
	return filepath.Join(c.Dir, "log", component+".log")
}

// PodLogs holds the logs of the pods' containers.
func (c Cluster) PodLogs() string { return filepath.Join(c.Dir, "log", "pods") }

// Data is the folder a component keeps its data in.
func (c Cluster) Data(component string) string { return filepath.Join(c.Dir, component) }

// Socket is the path of a Unix socket.
func (c Cluster) Socket(component string) string {
	return filepath.Join(c.Run, component+".sock")
}

// Cgroup is the parent of the cluster's pods in every cgroup hierarchy.
func (c Cluster) Cgroup() string { return CgroupRoot + "/" + c.Name }

// Node is the name of the cluster's only node, the one that kind gives it.
func (c Cluster) Node() string { return c.Name + "-control-plane" }

// Link is the name of the cluster's network namespace, and of the end of its
// cable that is plugged into the bridge.
func (c Cluster) Link() string { return Prefix + c.Name }

// Netns is the path under which the cluster's network namespace can be entered.
func (c Cluster) Netns() string { return filepath.Join("/run/netns", c.Link()) }
