//! Values under small numbers that are used again: what the dense tables of the scheduler are indexed by.

/// As large as the most values it held at once.
#[derive(Debug, Clone)]
pub struct Slab<T> {
    items: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab {
            items: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slab<T> {
    pub fn insert(&mut self, item: T) -> usize {
        if let Some(at) = self.free.pop()
            && let Some(slot) = self.items.get_mut(at)
        {
            *slot = Some(item);
            return at;
        }
        self.items.push(Some(item));
        self.items.len() - 1
    }

    pub fn remove(&mut self, at: usize) -> Option<T> {
        let taken = self.items.get_mut(at).and_then(Option::take);
        if taken.is_some() {
            self.free.push(at);
        }
        taken
    }

    pub fn get(&self, at: usize) -> Option<&T> {
        self.items.get(at).and_then(Option::as_ref)
    }

    pub fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.items.get_mut(at).and_then(Option::as_mut)
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let items = self.items.iter().enumerate();
        items.filter_map(|(at, item)| Some((at, item.as_ref()?)))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut T)> {
        let items = self.items.iter_mut().enumerate();
        items.filter_map(|(at, item)| Some((at, item.as_mut()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_used_again() {
        let mut slab = Slab::default();
        let (a, b) = (slab.insert("a"), slab.insert("b"));
        assert_eq!(slab.remove(a), Some("a"));
        assert_eq!(slab.remove(a), None);
        assert_eq!(slab.insert("c"), a);
        let all: Vec<_> = slab.iter().collect();
        assert_eq!(all, [(a, &"c"), (b, &"b")]);
    }
}
