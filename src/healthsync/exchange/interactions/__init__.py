"""FHIR REST interactions that write (http.html); those that read are the methods of `exchange.disclose`."""
