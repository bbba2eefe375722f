"""One HTML page to send to somebody, and the glossary."""
