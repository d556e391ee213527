"""``mclir evaluate``: figures of trained networks."""
