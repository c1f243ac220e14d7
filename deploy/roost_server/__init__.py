"""What a small, sleeping Prefect server needs beside Prefect's own application."""
