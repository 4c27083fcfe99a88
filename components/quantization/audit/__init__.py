"""The audit: whether a converted model keeps what its scheme promises."""
