"""The demo: real photos through the device, a real broker and the gateway."""
