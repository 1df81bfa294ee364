//! The stack machine that a pickle is a program for, without the opcodes that weights have no use for.

use super::global::Global;
use super::pickle::{
    Id, MAX_ENTRIES, MAX_OBJECTS, MAX_TENSORS, OPAQUE, Object, Refusal, Storage, Tensor, text,
};

/// The stack machine that a pickle is a program for.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    pub(super) objects: Vec<Object>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: Vec<Id>,
    memoised: usize,
    entries: usize,
    tensors: usize,
}

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            objects: vec![Object::Opaque],
            stack: Vec::new(),
            marks: Vec::new(),
            memo: Vec::new(),
            memoised: 0,
            entries: 0,
            tensors: 0,
        }
    }

    /// Runs the program; gives the place of what it leaves.
    pub(super) fn run(&mut self) -> Result<Id, Refusal> {
        const STOP: u8 = b'.';
        loop {
            match self.byte()? {
                STOP => return self.pop(),
                opcode => self.step(opcode)?,
            }
        }
    }

    /// Opcodes and their arguments: Python's `pickletools`.
    fn step(&mut self, opcode: u8) -> Result<(), Refusal> {
        match opcode {
            // PROTO, FRAME: neither changes what follows.
            0x80 => self.skip(1),
            0x95 => self.skip(8),
            b'(' => self.mark(),
            // POP, POP_MARK, DUP.
            b'0' => self.pop().map(drop),
            b'1' => self.pop_mark().map(drop),
            b'2' => self.pop().and_then(|id| {
                self.push(id)?;
                self.push(id)
            }),
            // NONE, NEWTRUE, NEWFALSE.
            b'N' | 0x88 | 0x89 => self.push(OPAQUE),
            b'J' | b'K' | b'M' | 0x8a | 0x8b => self.int(opcode),
            // BINFLOAT.
            b'G' => self.opaque(8),
            b'X' | 0x8c | 0x8d => self.unicode(opcode),
            b'B' | b'C' | b'T' | b'U' | 0x8e | 0x96 => self.raw_bytes(opcode),
            b'}' | b']' | b')' | 0x8f | b't' | b'l' | b'd' | 0x91 | 0x85..=0x87 => {
                self.container(opcode)
            }
            // APPEND, APPENDS, ADDITEMS, SETITEM, SETITEMS.
            b'a' | b'e' | 0x90 => self.append(opcode == b'a'),
            b's' | b'u' => self.set_items(opcode == b's'),
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.memo(opcode),
            b'c' | 0x93 => self.global(opcode == b'c'),
            // REDUCE, NEWOBJ, NEWOBJ_EX, BUILD, BINPERSID.
            b'R' | 0x81 | 0x92 => self.call(opcode == 0x92),
            b'b' => self.pop().map(drop),
            b'Q' => self.storage(),
            other => Err(malformed(&format!("opcode 0x{other:02x} of its pickle"))),
        }
    }

    fn mark(&mut self) -> Result<(), Refusal> {
        if self.marks.len() >= MAX_OBJECTS {
            return Err(Refusal::TooMany);
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    /// BININT, BININT1, BININT2, LONG1, LONG4.
    fn int(&mut self, opcode: u8) -> Result<(), Refusal> {
        let bytes = match opcode {
            b'J' => 4,
            b'K' => 1,
            b'M' => 2,
            0x8a => self.length(1)?,
            _ => self.length(4)?,
        };
        let number = self.take(bytes)?;
        let signed = !matches!(opcode, b'K' | b'M');
        match integer(number, signed) {
            Some(value) => self.make(Object::Int(value)),
            None => self.push(OPAQUE),
        }
    }

    /// BINUNICODE, SHORT_BINUNICODE, BINUNICODE8.
    fn unicode(&mut self, opcode: u8) -> Result<(), Refusal> {
        let length = self.length(match opcode {
            b'X' => 4,
            0x8c => 1,
            _ => 8,
        })?;
        let at = self.at;
        self.take(length)?;
        match (u32::try_from(at), u32::try_from(length)) {
            (Ok(at), Ok(bytes)) => self.make(Object::Text { at, bytes }),
            _ => Err(Refusal::TooMany),
        }
    }

    /// BINBYTES, SHORT_BINBYTES, BINSTRING, SHORT_BINSTRING, BINBYTES8, BYTEARRAY8: numbers of the log, in numpy's form.
    fn raw_bytes(&mut self, opcode: u8) -> Result<(), Refusal> {
        let length = self.length(match opcode {
            b'B' | b'T' => 4,
            b'C' | b'U' => 1,
            _ => 8,
        })?;
        self.opaque(length)
    }

    fn opaque(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.take(bytes)?;
        self.push(OPAQUE)
    }

    fn container(&mut self, opcode: u8) -> Result<(), Refusal> {
        let items = match opcode {
            b'}' => return self.make(Object::Dict(Vec::new())),
            // EMPTY_LIST, EMPTY_TUPLE, EMPTY_SET.
            b']' | b')' | 0x8f => Vec::new(),
            // TUPLE1 to TUPLE3.
            0x85..=0x87 => {
                let from = self.stack.len().checked_sub(usize::from(opcode - 0x84));
                self.stack.split_off(from.ok_or_else(underflow)?)
            }
            // TUPLE, LIST, DICT, FROZENSET.
            _ => self.pop_mark()?,
        };
        self.count(items.len())?;
        if opcode == b'd' {
            return self.make(Object::Dict(pairs(&items)));
        }
        self.make(Object::List(items))
    }

    fn append(&mut self, one: bool) -> Result<(), Refusal> {
        let items = if one {
            vec![self.pop()?]
        } else {
            self.pop_mark()?
        };
        self.count(items.len())?;
        let list = self.top()?;
        if let Object::List(list) = &mut self.objects[list as usize] {
            list.extend(items);
        }
        Ok(())
    }

    fn set_items(&mut self, one: bool) -> Result<(), Refusal> {
        let items = if one {
            let value = self.pop()?;
            vec![self.pop()?, value]
        } else {
            self.pop_mark()?
        };
        self.count(items.len())?;
        let dict = self.top()?;
        if let Object::Dict(dict) = &mut self.objects[dict as usize] {
            dict.extend(pairs(&items));
        }
        Ok(())
    }

    /// BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET.
    fn memo(&mut self, opcode: u8) -> Result<(), Refusal> {
        let place = match opcode {
            b'q' | b'h' => self.length(1)?,
            b'r' | b'j' => self.length(4)?,
            _ => self.memoised,
        };
        if matches!(opcode, b'h' | b'j') {
            let found = self.memo.get(place).copied();
            return self.push(found.ok_or_else(|| malformed("an unknown memo of its pickle"))?);
        }
        if place >= MAX_ENTRIES {
            return Err(Refusal::TooMany);
        }
        if place >= self.memo.len() {
            self.memo.resize(place + 1, OPAQUE);
        }
        self.memo[place] = self.top()?;
        self.memoised += 1;
        Ok(())
    }

    /// GLOBAL, whose names are lines, and STACK_GLOBAL.
    fn global(&mut self, lines: bool) -> Result<(), Refusal> {
        let name = if lines {
            let module = self.line()?;
            (module, self.line()?)
        } else {
            let name = self.pop()?;
            let [module, name] = [self.pop()?, name].map(|id| self.text(id));
            (module.unwrap_or_default(), name.unwrap_or_default())
        };
        match Global::find(name.0, name.1) {
            Some(global) => self.make(Object::Global(global)),
            None => Err(Refusal::Foreign(foreign(name))),
        }
    }

    /// A call in the pickle: what it would give, where weights need it.
    fn call(&mut self, with_keywords: bool) -> Result<(), Refusal> {
        if with_keywords {
            self.pop()?;
        }
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let Object::Global(global) = self.objects[callee as usize] else {
            return Err(malformed("its pickle calls what is no function"));
        };
        let Object::List(arguments) = &self.objects[arguments as usize] else {
            return Err(malformed("its pickle calls a function without arguments"));
        };
        match global {
            Global::OrderedDict => self.make(Object::Dict(Vec::new())),
            Global::RebuildParameter => {
                let tensor = arguments.first().copied();
                self.push(tensor.ok_or_else(|| malformed("a parameter without a tensor"))?)
            }
            Global::RebuildTensor => {
                let tensor = self.tensor(arguments);
                self.make(Object::Tensor(Box::new(tensor.ok_or_else(|| {
                    malformed("a tensor without size, strides or storage")
                })?)))
            }
            Global::Storage(_) | Global::Inert => self.push(OPAQUE),
        }
    }

    /// `_rebuild_tensor_v2(storage, offset, size, stride, …)`.
    fn tensor(&self, arguments: &[Id]) -> Option<Tensor> {
        let [storage, offset, shape, strides, ..] = *arguments else {
            return None;
        };
        let Object::Storage(storage) = &self.objects[storage as usize] else {
            return None;
        };
        let [shape, strides] = [shape, strides].map(|id| self.numbers(id));
        let (shape, strides) = (shape?, strides?);
        (shape.len() == strides.len()).then_some(Tensor {
            storage: storage.as_ref().clone(),
            offset: self.number(offset)?,
            shape,
            strides,
        })
    }

    /// BINPERSID: `('storage', type, key, location, number of elements)`.
    fn storage(&mut self) -> Result<(), Refusal> {
        let id = self.pop()?;
        let storage = match &self.objects[id as usize] {
            Object::List(parts) => self.declared(parts),
            _ => None,
        };
        let storage = storage.ok_or_else(|| malformed("a storage without type, key or size"))?;
        self.make(Object::Storage(Box::new(storage)))
    }

    fn declared(&self, parts: &[Id]) -> Option<Storage> {
        const MAX_KEY_BYTES: usize = 64;
        let [kind, dtype, key, _location, elements] = *parts else {
            return None;
        };
        let Object::Global(Global::Storage(dtype)) = self.objects[dtype as usize] else {
            return None;
        };
        let key = self.text(key).filter(|key| key.len() <= MAX_KEY_BYTES)?;
        (self.text(kind)? == "storage").then_some(Storage {
            key: key.to_owned(),
            dtype,
            elements: self.number(elements)?,
        })
    }

    fn text(&self, id: Id) -> Option<&'a str> {
        text(self.bytes, &self.objects[id as usize])
    }

    fn number(&self, id: Id) -> Option<u64> {
        match self.objects[id as usize] {
            Object::Int(value) => u64::try_from(value).ok(),
            _ => None,
        }
    }

    /// The numbers of a size; a tensor of weights has at most five.
    fn numbers(&self, id: Id) -> Option<Vec<u64>> {
        const MAX_RANK: usize = 8;
        match &self.objects[id as usize] {
            Object::List(items) if items.len() <= MAX_RANK => {
                items.iter().map(|id| self.number(*id)).collect()
            }
            _ => None,
        }
    }

    fn make(&mut self, object: Object) -> Result<(), Refusal> {
        self.tensors += usize::from(matches!(object, Object::Tensor(_) | Object::Storage(_)));
        if self.objects.len() >= MAX_OBJECTS || self.tensors > MAX_TENSORS {
            return Err(Refusal::TooMany);
        }
        self.objects.push(object);
        self.push(u32::try_from(self.objects.len() - 1).map_err(|_| Refusal::TooMany)?)
    }

    fn push(&mut self, id: Id) -> Result<(), Refusal> {
        if self.stack.len() >= MAX_OBJECTS {
            return Err(Refusal::TooMany);
        }
        self.stack.push(id);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, Refusal> {
        self.stack.pop().ok_or_else(underflow)
    }

    fn top(&self) -> Result<Id, Refusal> {
        self.stack.last().copied().ok_or_else(underflow)
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, Refusal> {
        match self.marks.pop() {
            Some(mark) if mark <= self.stack.len() => Ok(self.stack.split_off(mark)),
            _ => Err(underflow()),
        }
    }

    fn count(&mut self, entries: usize) -> Result<(), Refusal> {
        self.entries += entries;
        if self.entries > MAX_ENTRIES {
            return Err(Refusal::TooMany);
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, Refusal> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn skip(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.take(bytes).map(drop)
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Refusal> {
        let taken = self.bytes[self.at..].get(..bytes).ok_or_else(cut_off)?;
        self.at += bytes;
        Ok(taken)
    }

    /// A length of so many bytes.
    fn length(&mut self, bytes: usize) -> Result<usize, Refusal> {
        let value = integer_unsigned(self.take(bytes)?);
        usize::try_from(value).map_err(|_| cut_off())
    }

    fn line(&mut self) -> Result<&'a str, Refusal> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|b| *b == b'\n').ok_or_else(cut_off)?;
        self.at += end + 1;
        std::str::from_utf8(&rest[..end]).map_err(|_| malformed("a name that is no text"))
    }
}

/// A name of the pickle as it may stand in a message.
fn foreign((module, name): (&str, &str)) -> String {
    const MAX_CHARS: usize = 80;
    let name = format!("{module}.{name}");
    name.chars()
        .filter(|c| !c.is_control())
        .take(MAX_CHARS)
        .collect()
}

fn pairs(items: &[Id]) -> Vec<(Id, Id)> {
    let (pairs, _) = items.as_chunks::<2>();
    pairs.iter().map(|[key, value]| (*key, *value)).collect()
}

/// Two's complement, little endian; longer numbers than 64 bits are of no use here.
fn integer(bytes: &[u8], signed: bool) -> Option<i64> {
    let negative = signed && bytes.last().is_some_and(|last| last & 0x80 != 0);
    let mut wide = [if negative { 0xff } else { 0 }; 8];
    wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(wide))
}

fn integer_unsigned(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn malformed(message: &str) -> Refusal {
    Refusal::Malformed(message.to_owned())
}

fn underflow() -> Refusal {
    malformed("its pickle takes what it has not put")
}

fn cut_off() -> Refusal {
    malformed("its pickle is cut off")
}
