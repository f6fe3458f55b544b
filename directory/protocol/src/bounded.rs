//! Lists, bytes and texts whose length is checked while they are decoded, before anything is allocated for them.

use std::{fmt, marker::PhantomData, ops::Deref};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, SeqAccess, Visitor},
};

/// A value was longer than its type allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{length} is more than the limit of {limit}")]
pub struct TooLong {
    /// Length of the value that was refused.
    pub length: usize,
    /// The limit of the type.
    pub limit: usize,
}

fn check(length: usize, limit: usize) -> Result<(), TooLong> {
    if length > limit { Err(TooLong { length, limit }) } else { Ok(()) }
}

macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident, [$($generic:ident)?], $inner:ty, $target:ty, $length:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name<$($generic,)? const MAX: usize>($inner);

        impl<$($generic,)? const MAX: usize> $name<$($generic,)? MAX> {
            /// Takes the value if it is within the limit.
            ///
            /// # Errors
            /// [`TooLong`] with the value's length and the limit.
            pub fn new(value: $inner) -> Result<Self, TooLong> {
                check($length(&value), MAX)?;
                Ok(Self(value))
            }

            /// The value itself.
            #[must_use]
            pub fn into_inner(self) -> $inner {
                self.0
            }
        }

        impl<$($generic,)? const MAX: usize> TryFrom<$inner> for $name<$($generic,)? MAX> {
            type Error = TooLong;

            fn try_from(value: $inner) -> Result<Self, TooLong> {
                Self::new(value)
            }
        }

        impl<$($generic,)? const MAX: usize> Deref for $name<$($generic,)? MAX> {
            type Target = $target;

            fn deref(&self) -> &$target {
                &self.0
            }
        }

        impl<$($generic,)? const MAX: usize> Default for $name<$($generic,)? MAX> {
            fn default() -> Self {
                Self(<$inner>::default())
            }
        }
    };
}

bounded!(
    /// A list of at most `MAX` items.
    Bounded, [T], Vec<T>, [T], Vec::len
);
bounded!(
    /// At most `MAX` bytes. Its `Debug` form gives the length only, so that no log shows contents by accident.
    BoundedBytes, [], Vec<u8>, [u8], Vec::len
);
bounded!(
    /// A text of at most `MAX` bytes of UTF-8.
    BoundedText, [], String, str, String::len
);

impl<T: fmt::Debug, const MAX: usize> fmt::Debug for Bounded<T, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<const MAX: usize> fmt::Debug for BoundedBytes<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

impl<const MAX: usize> fmt::Debug for BoundedText<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'a, T, const MAX: usize> IntoIterator for &'a Bounded<T, MAX> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T, const MAX: usize> IntoIterator for Bounded<T, MAX> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<T: Serialize, const MAX: usize> Serialize for Bounded<T, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<const MAX: usize> Serialize for BoundedBytes<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<const MAX: usize> Serialize for BoundedText<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

struct ListVisitor<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for ListVisitor<T, MAX> {
    type Value = Bounded<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX} items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        // The announced length is refused before any item is read; postcard gives none if the frame can't hold it.
        let announced = items.size_hint().ok_or_else(|| de::Error::custom("a list longer than its frame"))?;
        check(announced, MAX).map_err(de::Error::custom)?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            check(list.len() + 1, MAX).map_err(de::Error::custom)?;
            list.push(item);
        }
        Ok(Bounded(list))
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Bounded<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

struct BytesVisitor<const MAX: usize>;

impl<const MAX: usize> Visitor<'_> for BytesVisitor<MAX> {
    type Value = BoundedBytes<MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX} bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        check(bytes.len(), MAX).map_err(E::custom)?;
        Ok(BoundedBytes(bytes.to_vec()))
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for BoundedBytes<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(BytesVisitor)
    }
}

struct TextVisitor<const MAX: usize>;

impl<const MAX: usize> Visitor<'_> for TextVisitor<MAX> {
    type Value = BoundedText<MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a text of at most {MAX} bytes")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        check(text.len(), MAX).map_err(E::custom)?;
        Ok(BoundedText(text.to_owned()))
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for BoundedText<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}
