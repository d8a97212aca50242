//! The matrix as text for a terminal.
