"""The pages: server-rendered, without inline scripts or styles. `routers()` are theirs; other pages add their own."""
