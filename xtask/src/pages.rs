//! Memory that outlives its module: an instance that finds more pages than it starts with takes
//! them as if it had grown them. So one memory serves instance after instance, where memories of
//! their own would stay until garbage is collected. Between two, the host zeroes what the exported
//! variable `pages` says was used.

use std::path::Path;

use anyhow::{Context as _, bail};
use walrus::{
    ConstExpr, FunctionBuilder, FunctionId, GlobalId, InstrSeqBuilder, MemoryId, Module, ValType,
    ir::{BinaryOp, Call, GlobalGet, Instr, Value, VisitorMut, dfs_pre_order_mut},
};

/// Makes the module at `path` count its own pages of the memory that it imports.
pub fn count(path: &Path) -> anyhow::Result<()> {
    let mut module = Module::from_file(path).context("cannot read the module")?;
    let (memory, initial, most) = match module.memories.iter().next() {
        Some(memory) if memory.import.is_some() => (
            memory.id(),
            memory.initial,
            memory.maximum.unwrap_or(1 << 16),
        ),
        _ => bail!("expected a module that imports its memory"),
    };
    let start = ConstExpr::Value(Value::I32(i32::try_from(initial)?));
    let pages = module.globals.add_local(ValType::I32, true, false, start);
    module.exports.add("pages", pages);
    let functions: Vec<_> = module.funcs.iter_local().map(|(id, _)| id).collect();
    let grow = grow(&mut module, memory, pages, i32::try_from(most)?);
    for id in functions {
        let function = module.funcs.get_mut(id).kind.unwrap_local_mut();
        let entry = function.entry_block();
        dfs_pre_order_mut(&mut Replace { grow, pages }, function, entry);
    }
    module
        .emit_wasm_file(path)
        .context("cannot write the module")
}

/// `memory.grow` by the module's own count.
fn grow(module: &mut Module, memory: MemoryId, pages: GlobalId, most: i32) -> FunctionId {
    let mut function = FunctionBuilder::new(&mut module.types, &[ValType::I32], &[ValType::I32]);
    let more = module.locals.add(ValType::I32);
    let refuse = |then: &mut InstrSeqBuilder<'_>| {
        then.i32_const(-1).return_();
    };
    let mut body = function.func_body();
    body.local_get(more)
        .i32_const(most)
        .global_get(pages)
        .binop(BinaryOp::I32Sub)
        .binop(BinaryOp::I32GtU)
        .if_else(None, refuse, |_| {});
    let wanted = |seq: &mut InstrSeqBuilder<'_>| {
        seq.global_get(pages)
            .local_get(more)
            .binop(BinaryOp::I32Add);
    };
    wanted(&mut body);
    body.memory_size(memory).binop(BinaryOp::I32GtU).if_else(
        None,
        |then| {
            wanted(then);
            then.memory_size(memory)
                .binop(BinaryOp::I32Sub)
                .memory_grow(memory)
                .i32_const(-1)
                .binop(BinaryOp::I32Eq)
                .if_else(None, refuse, |_| {});
        },
        |_| {},
    );
    body.global_get(pages);
    wanted(&mut body);
    body.global_set(pages);
    function.finish(vec![more], &mut module.funcs)
}

struct Replace {
    grow: FunctionId,
    pages: GlobalId,
}

impl VisitorMut for Replace {
    fn visit_instr_mut(&mut self, instr: &mut Instr, _: &mut walrus::InstrLocId) {
        match instr {
            Instr::MemoryGrow(_) => *instr = Call { func: self.grow }.into(),
            Instr::MemorySize(_) => *instr = GlobalGet { global: self.pages }.into(),
            _ => {}
        }
    }
}
