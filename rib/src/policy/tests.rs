//! What policies do to routes.
