//! Starting: what was left behind, whose turn it is, where to go on.
//!
//! [`decide`] and [`reread`] are pure: facts in, a plan or a refusal out. [`claim`] and [`execute`] look and
//! act, [`agreement`] and [`evolution`] look.

mod agreement;
mod claim;
pub mod decide;
pub mod evolution;
pub mod execute;
pub mod reread;
