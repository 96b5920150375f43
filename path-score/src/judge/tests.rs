//! What it promises.
