//! Starting: what was left behind, whose turn it is, where to go on.
//!
//! [`decide`] and [`reread`] are pure: facts in, a plan or a refusal out. [`execute`] looks and acts,
//! [`agreement`] and [`evolution`] look.

mod agreement;
pub mod decide;
pub mod evolution;
pub mod execute;
pub mod reread;
