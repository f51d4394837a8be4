//! An end to the work of a wasm module, whatever it does: each turn of a loop, each call of a
//! function that calls others, and every 64 bytes copied or filled take a step from a global
//! variable, `steps`. Below zero the module traps. The count is the same on every machine.

use std::path::Path;

use anyhow::Context as _;
use walrus::{
    ConstExpr, FunctionBuilder, GlobalId, InstrLocId, LocalFunction, LocalId, Module, ModuleLocals,
    ValType,
    ir::{
        BinaryOp, Binop, Call, CallIndirect, Const, GlobalGet, GlobalSet, IfElse, Instr,
        InstrSeqId, LocalGet, LocalSet, Loop, UnaryOp, Unop, Unreachable, Value, Visitor,
        dfs_in_order,
    },
};

/// Bytes that one step copies or fills, as a power of two.
const BYTES_OF_STEP_LOG2: i64 = 6;

/// Writes `module` to `out` with a count of steps that starts at `steps`.
pub fn meter(module: &Path, out: &Path, steps: i64) -> anyhow::Result<()> {
    let mut module = Module::from_file(module).context("cannot read the module to be metered")?;
    let mut global = |name, mutable| {
        let start = ConstExpr::Value(Value::I64(steps));
        let id = module
            .globals
            .add_local(ValType::I64, mutable, false, start);
        module.exports.add(name, id);
        id
    };
    global("steps_allowed", false);
    let left = global("steps", true);
    let Module { funcs, locals, .. } = &mut module;
    for (_, function) in funcs.iter_local_mut() {
        Meter { left, function }.run(locals);
    }
    module
        .emit_wasm_file(out)
        .context("cannot write the metered module")
}

struct Meter<'a> {
    left: GlobalId,
    function: &'a mut LocalFunction,
}

impl Meter<'_> {
    fn run(&mut self, locals: &mut ModuleLocals) {
        let entry = self.function.entry_block();
        let mut found = Found::default();
        dfs_in_order(&mut found, self.function, entry);
        for sequence in &found.sequences {
            self.count_bytes(*sequence, locals);
        }
        if found.calls {
            found.loops.push(entry);
        }
        for start in found.loops {
            let step = self.spend([constant(1)]);
            self.function.block_mut(start).instrs.splice(0..0, step);
        }
    }

    /// Counts the bytes of copies and fills, whose number is the last operand.
    fn count_bytes(&mut self, sequence: InstrSeqId, locals: &mut ModuleLocals) {
        let bulk = |instr: &Instr| matches!(instr, Instr::MemoryCopy(_) | Instr::MemoryFill(_));
        let instrs = &self.function.block(sequence).instrs;
        let places: Vec<_> = (0..instrs.len()).filter(|&i| bulk(&instrs[i].0)).collect();
        // From the last to the first, so that places stay right.
        for place in places.into_iter().rev() {
            let bytes = locals.add(ValType::I32);
            let mut counted = vec![at(LocalSet { local: bytes })];
            counted.extend(self.spend(steps_of(bytes)));
            counted.push(at(LocalGet { local: bytes }));
            let instrs = &mut self.function.block_mut(sequence).instrs;
            instrs.splice(place..place, counted);
        }
    }

    /// Takes what `amount` leaves on the stack; traps when nothing is left.
    fn spend(&mut self, amount: impl IntoIterator<Item = Located>) -> Vec<Located> {
        let builder = self.function.builder_mut();
        let trap = dangling(builder);
        self.function
            .block_mut(trap)
            .instrs
            .push(at(Unreachable {}));
        let go_on = dangling(self.function.builder_mut());
        let global = self.left;
        let mut instrs = vec![at(GlobalGet { global })];
        instrs.extend(amount);
        instrs.extend([
            at(Binop {
                op: BinaryOp::I64Sub,
            }),
            at(GlobalSet { global }),
            at(GlobalGet { global }),
            constant(0),
            at(Binop {
                op: BinaryOp::I64LtS,
            }),
            at(IfElse {
                consequent: trap,
                alternative: go_on,
            }),
        ]);
        instrs
    }
}

type Located = (Instr, InstrLocId);

fn at(instr: impl Into<Instr>) -> Located {
    (instr.into(), InstrLocId::default())
}

fn constant(value: i64) -> Located {
    at(Const {
        value: Value::I64(value),
    })
}

fn dangling(builder: &mut FunctionBuilder) -> InstrSeqId {
    builder.dangling_instr_seq(None).id()
}

fn steps_of(bytes: LocalId) -> [Located; 4] {
    [
        at(LocalGet { local: bytes }),
        at(Unop {
            op: UnaryOp::I64ExtendUI32,
        }),
        constant(BYTES_OF_STEP_LOG2),
        at(Binop {
            op: BinaryOp::I64ShrU,
        }),
    ]
}

/// What a function has in it.
#[derive(Default)]
struct Found {
    sequences: Vec<InstrSeqId>,
    loops: Vec<InstrSeqId>,
    calls: bool,
}

impl<'instr> Visitor<'instr> for Found {
    fn start_instr_seq(&mut self, sequence: &'instr walrus::ir::InstrSeq) {
        self.sequences.push(sequence.id());
    }

    fn visit_loop(&mut self, instr: &Loop) {
        self.loops.push(instr.seq);
    }

    fn visit_call(&mut self, _: &Call) {
        self.calls = true;
    }

    fn visit_call_indirect(&mut self, _: &CallIndirect) {
        self.calls = true;
    }
}
