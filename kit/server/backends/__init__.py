"""Triton Python-based backends: each serves every model that names it, with the repository unchanged.

They run in the server's private environment, inside Triton's stub, and import nothing of the kit. When a
server starts, each folder is copied beside Triton's Python backend, with ``shared`` inside it.
"""
