#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From nothing to a call that crosses clusters, with the commands a user would type.
set -euo pipefail
cd "$(dirname "$0")/../.."

provider=lab
while [ $# -gt 0 ]; do
  case "$1" in
    --provider) provider=$2; shift 2 ;;
    *) echo "demo.sh: unknown argument $1 (only --provider lab|kind)" >&2; exit 2 ;;
  esac
done

began=$SECONDS
kc() { kubectl --kubeconfig ".lab/$1.kubeconfig" "${@:2}"; }
title() { printf '\n==> %s\n' "$*"; }
# run prints a command as it can be typed again, runs it, and says how long it took.
run() {
  local t=$SECONDS
  printf '$ %s\n' "$*"
  "$@"
  [ $((SECONDS - t)) -lt 2 ] || printf '    (%ss)\n' "$((SECONDS - t))"
}
shown() { printf '$ %s\n' "$1"; }
trap 'code=$?; [ $code = 0 ] || printf "\nThe demo failed (exit %s). Look around with the kubeconfigs in .lab/, or remove it: make demo-down\n" "$code" >&2' EXIT

title "Three clusters: hub, east, west"
run lab up --provider "$provider" --topology kind-configs/demo

title "The operator, on the hub"
shown "isthmesh install hub --kubeconfig .lab/hub.kubeconfig --wait"
t=$SECONDS
isthmesh install hub --kubeconfig .lab/hub.kubeconfig --wait --timeout 10m
printf '    (%ss)\n' "$((SECONDS - t))"

title "One federation, two members"
for m in east west; do
  shown "kubectl --kubeconfig .lab/hub.kubeconfig create secret generic $m-kubeconfig --from-file=kubeconfig=.lab/$m.kubeconfig"
  kc hub create secret generic "$m-kubeconfig" --from-file=kubeconfig=".lab/$m.kubeconfig" --dry-run=client -o yaml | kc hub apply -f - >/dev/null
done
shown "kubectl --kubeconfig .lab/hub.kubeconfig apply -f config/samples/shop.yaml"
kc hub apply -f config/samples/shop.yaml
shown "kubectl --kubeconfig .lab/hub.kubeconfig wait --for=condition=Ready meshfederation/shop --timeout=10m"
t=$SECONDS
if ! kc hub wait --for=condition=Ready meshfederation/shop --timeout=10m; then
  isthmesh status --kubeconfig .lab/hub.kubeconfig || true
  exit 1
fi
printf '    (%ss)\n' "$((SECONDS - t))"
isthmesh status --kubeconfig .lab/hub.kubeconfig

title "A service that runs only in east, a client that runs only in west"
for m in east west; do
  shown "kubectl --kubeconfig .lab/$m.kubeconfig apply -f test/demo/$m.yaml"
  kc "$m" apply -f "test/demo/$m.yaml" >/dev/null
done
kc east -n shop rollout status deployment/catalog --timeout=10m
kc west -n shop rollout status deployment/client --timeout=10m

title "1,000 calls from west by the service's ordinary name"
call=(kc west -n shop exec deployment/client -c client -- /echo call --url http://catalog.shop/hello --timeout 30s)
# The first call waits until west has heard of the export.
t=$SECONDS
until "${call[@]}" --count 1 >/dev/null 2>&1 || [ $((SECONDS - t)) -ge 180 ]; do sleep 0.2; done
shown "kubectl --kubeconfig .lab/west.kubeconfig -n shop exec deployment/client -c client -- /echo call --url http://catalog.shop/hello --count 1000"
result=$("${call[@]}" --count 1000 --out json)
printf '%s\n' "$result"
grep -q 'spiffe://west.shop.example/ns/shop/sa/client' <<<"$result" || { echo "the server did not see west's identity" >&2; exit 1; }

title "The gateway in between never had the plaintext"
gateways=$(kc east -n istio-system get pods -l istio=eastwestgateway -o name)
passed=0
for p in $gateways; do
  shown "kubectl --kubeconfig .lab/east.kubeconfig -n istio-system exec $p -- isthmesh-agent request GET 'stats?filter=0.0.0.0_15443'"
  stats=$(kc east -n istio-system exec "$p" -- isthmesh-agent request GET 'stats?filter=0.0.0.0_15443')
  # It ends TLS for those alone that ask whether it is alive. These are counted as soon as they come.
  checks=$(kc east -n istio-system exec "$p" -- isthmesh-agent request GET 'stats?filter=gateway_check.downstream_cx_total' | sed -n 's/^http.gateway_check.downstream_cx_total: //p')
  ended=$(sed -n 's/^listener.0.0.0.0_15443.ssl.handshake: //p' <<<"$stats")
  if [ "${ended:-0}" -gt "${checks:-0}" ]; then echo "the gateway ended TLS $ended times, $checks of them for health checks" >&2; exit 1; fi
  n=$(($(sed -n 's/^listener.0.0.0.0_15443.downstream_cx_total: //p' <<<"$stats") - ${ended:-0}))
  printf '%s passed on %s connections, and ended TLS on none of them\n' "${p#pod/}" "$n"
  passed=$((passed + n))
done
if [ "$passed" = 0 ]; then echo "no call went through the gateway" >&2; exit 1; fi

title "Done in $((SECONDS - began))s: 1,000 of 1,000 calls crossed from west to east over mutual TLS"
cat <<'TXT'
Look around:
  isthmesh status --kubeconfig .lab/hub.kubeconfig
  kubectl --kubeconfig .lab/hub.kubeconfig get meshfederations,meshmembers
  kubectl --kubeconfig .lab/hub.kubeconfig describe meshmember west
  kubectl --kubeconfig .lab/east.kubeconfig get pods -A
  kubectl --kubeconfig .lab/west.kubeconfig -n shop exec deployment/client -c client -- /echo call --url http://catalog.shop/hello --count 3
(isthmesh and kubectl are in .lab/bin.)
Remove it all:
  make demo-down
TXT
