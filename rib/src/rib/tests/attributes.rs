//! The attribute rules of RFC 4271 §5 and §9, and those of its companions: a test a MUST.

use super::*;
