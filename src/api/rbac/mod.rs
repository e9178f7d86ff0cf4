//! Role-based access control: who may do what, by the roles and bindings in the store.
//! <https://kubernetes.io/docs/reference/access-authn-authz/rbac/>
//!
//! What comes in: roles and bindings as stored; a user and what it wants to do. What goes out: yes, with the binding
//! that says so, or no; everything a user may do; whether somebody gives away more than it has.
//!
//! Invariants: nothing is allowed that no binding allows; a change that was acknowledged counts for the next question
//! (the policy in memory is brought up to date from the store's history before each). It holds only roles and bindings,
//! in a compact form. It never knows about HTTP, tokens or pods.

pub mod built_in;
pub mod escalation;
pub mod policy;
pub mod rules;
mod source;

pub use policy::Policy;
pub use rules::{Attributes, Rule};
pub use source::PolicySource;

/// The API group of roles and bindings.
pub const GROUP: &str = "rbac.authorization.k8s.io";

/// Members may do everything, whatever roles say.
pub const ADMINISTRATORS: &str = "system:masters";
