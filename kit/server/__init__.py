"""A real Triton server on this machine: installed, started, watched and stopped."""
