//! The numbers of blocks and records that are read or written here, under LLVM's names (llvm/Bitcode/LLVMBitCodes.h).
//! Knows nothing of the operands behind them.

#![allow(missing_docs)]

pub const MODULE_BLOCK: u64 = 8;
pub const PARAMATTR_BLOCK: u64 = 9;
pub const PARAMATTR_GROUP_BLOCK: u64 = 10;
pub const CONSTANTS_BLOCK: u64 = 11;
pub const FUNCTION_BLOCK: u64 = 12;
pub const IDENTIFICATION_BLOCK: u64 = 13;
pub const VALUE_SYMTAB_BLOCK: u64 = 14;
pub const METADATA_BLOCK: u64 = 15;
pub const METADATA_ATTACHMENT_BLOCK: u64 = 16;
pub const TYPE_BLOCK: u64 = 17;
pub const USELIST_BLOCK: u64 = 18;
pub const MODULE_STRTAB_BLOCK: u64 = 19;
pub const GLOBALVAL_SUMMARY_BLOCK: u64 = 20;
pub const OPERAND_BUNDLE_TAGS_BLOCK: u64 = 21;
pub const METADATA_KIND_BLOCK: u64 = 22;
pub const STRTAB_BLOCK: u64 = 23;
pub const FULL_LTO_GLOBALVAL_SUMMARY_BLOCK: u64 = 24;
pub const SYMTAB_BLOCK: u64 = 25;
pub const SYNC_SCOPE_NAMES_BLOCK: u64 = 26;

pub const IDENTIFICATION_STRING: u64 = 1;

pub const STRTAB_BLOB: u64 = 1;
pub const SYMTAB_BLOB: u64 = 1;

pub const MODULE_VERSION: u64 = 1;
pub const MODULE_TRIPLE: u64 = 2;
pub const MODULE_ASM: u64 = 4;
pub const MODULE_GLOBALVAR: u64 = 7;
pub const MODULE_FUNCTION: u64 = 8;
pub const MODULE_ALIAS_OLD: u64 = 9;
pub const MODULE_VSTOFFSET: u64 = 13;
pub const MODULE_ALIAS: u64 = 14;
pub const MODULE_SOURCE_FILENAME: u64 = 16;
pub const MODULE_HASH: u64 = 17;
pub const MODULE_IFUNC: u64 = 18;

pub const TYPE_NUMENTRY: u64 = 1;
pub const TYPE_VOID: u64 = 2;
pub const TYPE_LABEL: u64 = 5;
pub const TYPE_INTEGER: u64 = 7;
pub const TYPE_METADATA: u64 = 16;
pub const TYPE_STRUCT_NAME: u64 = 19;
pub const TYPE_FUNCTION: u64 = 21;

pub const CST_SETTYPE: u64 = 1;
pub const CST_NULL: u64 = 2;
pub const CST_UNDEF: u64 = 3;
pub const CST_INTEGER: u64 = 4;
pub const CST_WIDE_INTEGER: u64 = 5;
pub const CST_FLOAT: u64 = 6;
pub const CST_STRING: u64 = 8;
pub const CST_CSTRING: u64 = 9;
pub const CST_INLINEASM_OLD: u64 = 18;
pub const CST_BLOCKADDRESS: u64 = 21;
pub const CST_DATA: u64 = 22;
pub const CST_INLINEASM_OLD2: u64 = 23;
pub const CST_POISON: u64 = 26;
pub const CST_INLINEASM_OLD3: u64 = 28;
pub const CST_INLINEASM: u64 = 30;

pub const FUNC_DECLAREBLOCKS: u64 = 1;
pub const FUNC_BINOP: u64 = 2;
pub const FUNC_CAST: u64 = 3;
pub const FUNC_INVOKE: u64 = 5;
pub const FUNC_EXTRACTELT: u64 = 6;
pub const FUNC_INSERTELT: u64 = 7;
pub const FUNC_SHUFFLEVEC: u64 = 8;
pub const FUNC_RET: u64 = 10;
pub const FUNC_BR: u64 = 11;
pub const FUNC_SWITCH: u64 = 12;
pub const FUNC_UNREACHABLE: u64 = 15;
pub const FUNC_PHI: u64 = 16;
pub const FUNC_ALLOCA: u64 = 19;
pub const FUNC_LOAD: u64 = 20;
pub const FUNC_VAARG: u64 = 23;
pub const FUNC_EXTRACTVAL: u64 = 26;
pub const FUNC_INSERTVAL: u64 = 27;
pub const FUNC_CMP2: u64 = 28;
pub const FUNC_VSELECT: u64 = 29;
pub const FUNC_INDIRECTBR: u64 = 31;
pub const FUNC_CALL: u64 = 34;
pub const FUNC_FENCE: u64 = 36;
pub const FUNC_RESUME: u64 = 39;
pub const FUNC_LOADATOMIC: u64 = 41;
pub const FUNC_GEP: u64 = 43;
pub const FUNC_STORE: u64 = 44;
pub const FUNC_STOREATOMIC: u64 = 45;
pub const FUNC_CMPXCHG: u64 = 46;
pub const FUNC_LANDINGPAD: u64 = 47;
pub const FUNC_OPERAND_BUNDLE: u64 = 55;
pub const FUNC_UNOP: u64 = 56;
pub const FUNC_CALLBR: u64 = 57;
pub const FUNC_FREEZE: u64 = 58;
pub const FUNC_ATOMICRMW: u64 = 59;
pub const FUNC_BLOCKADDR_USERS: u64 = 60;

pub const METADATA_VALUE: u64 = 2;
pub const METADATA_NODE: u64 = 3;
pub const METADATA_NAME: u64 = 4;
pub const METADATA_DISTINCT_NODE: u64 = 5;
pub const METADATA_KIND: u64 = 6;
pub const METADATA_NAMED_NODE: u64 = 10;
pub const METADATA_ATTACHMENT: u64 = 11;
pub const METADATA_COMPILE_UNIT: u64 = 20;
pub const METADATA_STRINGS: u64 = 35;
pub const METADATA_GLOBAL_DECL_ATTACHMENT: u64 = 36;
pub const METADATA_INDEX_OFFSET: u64 = 38;
pub const METADATA_INDEX: u64 = 39;

pub const VST_FNENTRY: u64 = 3;

pub const MST_ENTRY: u64 = 1;
pub const MST_HASH: u64 = 2;

pub const FS_PERMODULE: u64 = 1;
pub const FS_PERMODULE_PROFILE: u64 = 2;
pub const FS_PERMODULE_GLOBALVAR_INIT_REFS: u64 = 3;
pub const FS_COMBINED: u64 = 4;
pub const FS_COMBINED_PROFILE: u64 = 5;
pub const FS_COMBINED_GLOBALVAR_INIT_REFS: u64 = 6;
pub const FS_COMBINED_ALIAS: u64 = 8;
pub const FS_VERSION: u64 = 10;
pub const FS_VALUE_GUID: u64 = 16;
pub const FS_PERMODULE_RELBF: u64 = 19;
pub const FS_FLAGS: u64 = 20;
