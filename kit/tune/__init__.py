"""The batching that holds what the cameras need with the most head-room, found by measuring."""
