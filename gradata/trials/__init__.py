"""Programs that demonstrate and stress the product: the demo and the fault campaign."""
