#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The Gateway API's conformance suite on a lab cluster with a mesh of one cluster.
# Arguments go to the suite, such as --run-test=HTTPRouteSimpleSameNamespace.
set -euo pipefail
cd "$(dirname "$0")/../.."

kubeconfig=$PWD/.lab/solo.kubeconfig
report=$PWD/test/conformance/reports/isthmesh.yaml
step() { printf '==> %s\n' "$*"; }

step "images of the suite"
lab images --only gateway-api-echo-basic,gateway-api-echo-advanced,gateway-api-coredns
step "one cluster with a mesh"
lab up --topology kind-configs/single
lab load solo
for chart in base istiod; do
  release=$chart
  [ "$chart" != base ] || release=istio-base
  helm upgrade --install "$release" "charts/$chart" -n istio-system --create-namespace --kubeconfig "$kubeconfig" \
    $([ "$chart" = istiod ] && echo --values test/conformance/values.yaml) --wait --timeout 5m
done
step "the suite"
version=$(git describe --tags --always 2>/dev/null || echo dev)
cd test/conformance
status=0
KUBECONFIG=$kubeconfig go test -tags conformance -count=1 -timeout 3h -v . -args \
  --conformance-options-file=options.yaml --version="$version" --report-output="$report" "$@" || status=$?
[ ! -f "$report" ] || { step "report $report"; cat "$report"; }
exit $status
