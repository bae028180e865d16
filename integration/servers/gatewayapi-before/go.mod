// Pins a release of the Gateway API from before TLSRoute and TCPRoute came to v1, which is what tests upgrade from.
module github.com/segment-bridge/segment-bridge/integration/servers/gatewayapi-before

go 1.26.4

require sigs.k8s.io/gateway-api v1.4.1
