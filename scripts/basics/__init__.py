"""The ground floor: what several of the floors above need and none of them owns."""
