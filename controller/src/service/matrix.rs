//! The matrix of a sweep.

use sekisho_model::Matrix;

use super::{Result, Services, SweepRef};

impl Services {
    /// Every flow of a sweep that is decided: observed, or missed once its job has ended.
    ///
    /// # Errors
    /// When there is no such sweep.
    pub async fn matrix(&self, _sweep: SweepRef) -> Result<Matrix> {
        Err(super::unfinished())
    }
}
