//! Pages, explanations, counts.

use super::*;
