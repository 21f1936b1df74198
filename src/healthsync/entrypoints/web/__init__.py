"""HTTP: ASGI routes over the flows. Thin: parse the request, call a flow, write the answer."""
