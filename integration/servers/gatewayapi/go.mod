// Pins the release of the Gateway API whose custom resource definitions tests install. Kept apart so that its dependencies stay its own.
module github.com/segment-bridge/segment-bridge/integration/servers/gatewayapi

go 1.26.4

require sigs.k8s.io/gateway-api v1.6.3
