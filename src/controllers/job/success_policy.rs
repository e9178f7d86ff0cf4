//! When an Indexed Job has succeeded before all its indexes have (`spec.successPolicy`).
//! <https://kubernetes.io/docs/concepts/workloads/controllers/job/#success-policy>

use super::indexes::Indexes;
use super::spec::Spec;

/// The condition's message, where a rule is met.
pub fn met(spec: &Spec<'_>, succeeded: &Indexes) -> Option<String> {
    let policy = spec.fields.success_policy.as_ref()?;
    if succeeded.is_empty() {
        return None;
    }
    let completions = spec.completions.unwrap_or(0);
    let rule = policy.rules.iter().position(|rule| {
        let enough = |count: i32| rule.succeeded_count.is_some_and(|wanted| count >= wanted);
        match &rule.succeeded_indexes {
            Some(text) => {
                let wanted = Indexes::parse(text, completions);
                let count = wanted.overlap(succeeded);
                !wanted.is_empty() && (count == wanted.count() || enough(count))
            }
            None => enough(succeeded.count()),
        }
    })?;
    Some(format!("Matched rules at index {rule}"))
}
