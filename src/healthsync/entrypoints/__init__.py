"""Band 5. A protocol in, a call to a flow, the answer back."""
