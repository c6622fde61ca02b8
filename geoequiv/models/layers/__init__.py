"""What architectures are built from: batches and clouds, pairs and neighbours, steerable features and layers."""
