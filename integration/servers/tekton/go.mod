module github.com/segment-bridge/segment-bridge/integration/servers/tekton

go 1.26.4

// Pinned for its config/300-crds folder. No package of it is built, so `go mod tidy` would drop it.
require github.com/tektoncd/pipeline v1.15.0
