"""What programs of the SDK ask of the hub: messages and events handed out, own topics, alerts, notes for audit."""
