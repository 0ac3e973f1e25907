// Functions (see function_info.hpp). Backends.
//
// Entries are made in two steps: whether a function is wanted is asked for every function of every statement, the rest
// only when a call is recorded.
#include "provenance/hooks/function_info.hpp"

#include "pg/guard.hpp"
#include "provenance/hooks/frame.hpp"
#include "provenance/record/own_tables.hpp"
#include "provenance/record/sha256.hpp"
#include "provenance/record/stale_entries.hpp"

#include <algorithm>

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/proclang.h"
#include "lib/stringinfo.h"
#include "parser/parser.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/syscache.h"
}

namespace dbnet::provenance {
namespace {

struct Entry {
    Oid function; // key
    bool is_known;
    bool has_details;
    uint32 hash;          // of the syscache entry
    MemoryContext memory; // of the details
    FunctionInfo info;
};

HTAB *entries = nullptr;
Entry *last_asked = nullptr;  // most questions are about the same function again
uint32 stale = 0;             // entries that are not known
uint64 changes = 0;           // that invalidations have told of
bool tracked_is_stale = true; // dbnet.tracked_function is to be read again

extern "C" void dbnet_function_changed(Datum, int, uint32 hash) {
    ++changes;
    if (entries == nullptr)
        return;
    HASH_SEQ_STATUS scan;
    hash_seq_init(&scan, entries);
    while (auto *entry = static_cast<Entry *>(hash_seq_search(&scan)))
        if (entry->is_known && (hash == 0 || entry->hash == hash)) {
            entry->is_known = false; // details stay until the next use: a call may be running
            ++stale;
        }
}

// What functions are called contains the name of their schema. It contains those of their arguments' types, too: a
// session that knows the function goes on with the old name of a type, for types come with every temporary table.
extern "C" void dbnet_schema_of_functions_changed(Datum, int, uint32) {
    dbnet_function_changed(Datum{0}, PROCOID, 0);
}

extern "C" void dbnet_tracked_functions_changed(Datum, Oid relation) {
    if (OidIsValid(relation) && relation != own_table_if_known(OwnTable::tracked_function))
        return;
    tracked_is_stale = true;
    dbnet_function_changed(Datum{0}, PROCOID, 0);
}

// A SQL function of one SELECT without FROM disappears in the statement that calls it (inline_function()), if nothing
// hinders it; a hook would.
bool may_be_inlined(const HeapTuple tuple, Form_pg_proc proc) {
    if (proc->prokind != PROKIND_FUNCTION || proc->prosecdef || proc->proretset || proc->prorettype == VOIDOID ||
        proc->prorettype == RECORDOID)
        return false;
    bool is_null = false;
    SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosqlbody, &is_null);
    if (!is_null)
        return proc->provolatile != PROVOLATILE_VOLATILE; // BEGIN ATOMIC or RETURN: not worth a closer look
    const Datum source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &is_null);
    if (is_null)
        return false;
    const char *body = TextDatumGetCString(source);
    const List *statements = NIL;
    try { // the parser holds nothing that the end of a transaction would have to mend
        pg::call([&] { statements = raw_parser(body, RAW_PARSE_DEFAULT); });
    } catch (const pg::pg_error &) {
        return false; // the call will say so
    }
    if (list_length(statements) != 1)
        return false;
    const Node *statement = linitial_node(RawStmt, statements)->stmt;
    return IsA(statement, SelectStmt) && reinterpret_cast<const SelectStmt *>(statement)->fromClause == NIL &&
           reinterpret_cast<const SelectStmt *>(statement)->withClause == nullptr;
}

bool is_wanted(const HeapTuple tuple, Form_pg_proc proc) {
    if (proc->oid < FirstNormalObjectId || proc->pronamespace == own_schema())
        return false;
    if (proc->prokind == PROKIND_AGGREGATE || proc->prokind == PROKIND_WINDOW)
        return false;
    if (proc->prolang == SQLlanguageId)
        return proc->prokind == PROKIND_PROCEDURE ||
               (proc->provolatile == PROVOLATILE_VOLATILE && !may_be_inlined(tuple, proc));
    return proc->prokind == PROKIND_PROCEDURE || proc->provolatile == PROVOLATILE_VOLATILE ||
           proc->prorettype == TRIGGEROID;
}

bool is_tracked(Oid function) {
    static List *tracked = NIL; // of signatures; few
    if (tracked_is_stale) {
        List *old = tracked;
        tracked = NIL;
        list_free_deep(old);
        const uint64 before_reading = changes;
        const Oid table = own_table(OwnTable::tracked_function);
        if (OidIsValid(table)) {
            const Relation relation = table_open(table, AccessShareLock);
            const SysScanDesc scan = systable_beginscan(relation, InvalidOid, false, nullptr, 0, nullptr);
            while (const HeapTuple tuple = systable_getnext(scan)) {
                bool is_null = false;
                const Datum found = heap_getattr(tuple, 1, RelationGetDescr(relation), &is_null);
                const MemoryContext before = MemoryContextSwitchTo(TopMemoryContext);
                tracked = lappend(tracked, TextDatumGetCString(found));
                MemoryContextSwitchTo(before);
            }
            systable_endscan(scan);
            table_close(relation, AccessShareLock);
        }
        // Then once more at the next question. Of a table that is yet to be made no invalidation is known to be one.
        tracked_is_stale = changes != before_reading || !OidIsValid(table);
    }
    const char *name = get_func_name(function);
    if (tracked == NIL || name == nullptr)
        return false;
    // The whole signature only of one of that name: while an extension is dropped, types of arguments may be gone
    // already.
    name = quote_qualified_identifier(get_namespace_name(get_func_namespace(function)), name);
    const size_t length = strlen(name);
    const ListCell *cell;
    foreach (cell, tracked) {
        const auto *signature = static_cast<const char *>(lfirst(cell));
        if (strncmp(signature, name, length) == 0 && signature[length] == '(' &&
            strcmp(signature, format_procedure_qualified(function)) == 0)
            return true;
    }
    return false;
}

Entry *entry_of(Oid function) {
    if (last_asked != nullptr && last_asked->function == function)
        return last_asked;
    if (entries == nullptr) {
        HASHCTL control{};
        control.keysize = sizeof(Oid);
        control.entrysize = sizeof(Entry);
        entries = hash_create("DBNet functions", 64, &control, HASH_ELEM | HASH_BLOBS);
    }
    bool is_found = false;
    auto *entry = static_cast<Entry *>(hash_search(entries, &function, HASH_ENTER, &is_found));
    if (!is_found) {
        ++stale;
        entry->is_known = entry->has_details = false;
        entry->memory = nullptr;
        entry->info = FunctionInfo{};
        entry->info.function = function;
    }
    return last_asked = entry;
}

Entry *find_entry(Oid function) {
    Entry *entry = entry_of(function);
    if (entry->is_known)
        return entry;
    const uint64 before_reading = changes;
    const HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
    entry->has_details = false;
    entry->hash = GetSysCacheHashValue1(PROCOID, ObjectIdGetDatum(function));
    entry->info.is_wanted = false;
    if (HeapTupleIsValid(tuple)) {
        const bool wanted = is_wanted(tuple, reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple)));
        ReleaseSysCache(tuple);
        entry->info.is_wanted = wanted || is_tracked(function);
    }
    if (changes == before_reading) {
        entry->is_known = true;
        --stale;
    }
    return entry;
}

// As one would write it in psql: names of PostgreSQL's own types need no schema.
const char *signature_of(const FormData_pg_proc *proc) {
    StringInfoData text;
    initStringInfo(&text);
    appendStringInfoString(&text,
                           quote_qualified_identifier(get_namespace_name(proc->pronamespace), NameStr(proc->proname)));
    appendStringInfoChar(&text, '(');
    for (int index = 0; index < proc->pronargs; ++index) {
        const Oid type = proc->proargtypes.values[index];
        appendStringInfo(&text, "%s%s", index > 0 ? ", " : "",
                         type < FirstNormalObjectId ? format_type_be(type) : format_type_be_qualified(type));
    }
    appendStringInfoChar(&text, ')');
    return text.data;
}

const char *source_of(const HeapTuple tuple, bool is_c) {
    bool is_null = false;
    SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosqlbody, &is_null);
    if (!is_null)
        return TextDatumGetCString(OidFunctionCall1(
            F_PG_GET_FUNCTION_SQLBODY, ObjectIdGetDatum(reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple))->oid)));
    const Datum source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &is_null);
    const char *body = is_null ? "" : TextDatumGetCString(source);
    if (!is_c)
        return body;
    const Datum library = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_probin, &is_null);
    return is_null ? body : psprintf("%s, %s", TextDatumGetCString(library), body);
}

int64 code_of(const FunctionVersion &version) {
    Sha256 hash;
    hash.add(std::string_view(version.language, strlen(version.language) + 1));
    hash.add(std::string_view(version.name, strlen(version.name) + 1));
    hash.add(version.source);
    return hash.start_of_digest();
}

void fill_arguments(FunctionInfo &info, const HeapTuple tuple, MemoryContext context) {
    Oid *types = nullptr;
    char **names = nullptr, *modes = nullptr;
    const int all = get_func_arg_info(tuple, &types, &names, &modes);
    info.argument_lengths = static_cast<int16 *>(palloc0(sizeof(int16) * (all + 1)));
    info.shown_names = static_cast<const char **>(palloc0(sizeof(char *) * (all + 1)));
    info.argument_forms = static_cast<ValueForm *>(palloc0(sizeof(ValueForm) * (all + 1)));
    info.argument_order = static_cast<int *>(palloc0(sizeof(int) * (all + 1)));
    int count = 0;
    for (int index = 0; index < all; ++index) {
        const char mode = modes != nullptr ? modes[index] : PROARGMODE_IN;
        if (mode == PROARGMODE_TABLE || mode == PROARGMODE_OUT)
            continue;
        const bool is_named = names != nullptr && names[index] != nullptr && names[index][0] != '\0';
        info.shown_names[count] = is_named ? names[index] : psprintf("$%d", count + 1);
        info.argument_lengths[count] = IsPolymorphicType(types[index]) ? 0 : get_typlen(types[index]);
        if (!IsPolymorphicType(types[index]))
            info.argument_forms[count] = form_of(types[index], context, false);
        info.argument_order[count] = count;
        ++count;
    }
    info.argument_count = count;
    std::sort(info.argument_order, info.argument_order + count,
              [&](int left, int right) { return is_before(info.shown_names[left], info.shown_names[right]); });
    // A name that stands twice (in and out) would break the object: the later ones go without.
    for (int index = 1; index < count; ++index)
        if (strcmp(info.shown_names[info.argument_order[index - 1]], info.shown_names[info.argument_order[index]]) == 0)
            info.argument_count = 0;
}

} // namespace

bool wants_frame(Oid function) {
    return function >= FirstNormalObjectId && find_entry(function)->info.is_wanted;
}

FunctionInfo *function_info(Oid function) {
    Entry *entry = find_entry(function);
    FunctionInfo &info = entry->info;
    if (entry->has_details)
        return &info;
    const MemoryContext context =
        AllocSetContextCreateInternal(CurTransactionContext, "DBNet function", ALLOCSET_SMALL_SIZES);
    const MemoryContext before = MemoryContextSwitchTo(context);
    FunctionInfo fresh;
    fresh.function = function;
    fresh.is_wanted = info.is_wanted;
    auto *version = static_cast<FunctionVersion *>(palloc0(sizeof(FunctionVersion)));
    fresh.version = version;
    const HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
    if (HeapTupleIsValid(tuple)) {
        const auto *proc = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple));
        version->name = signature_of(proc);
        version->language = get_language_name(proc->prolang, true);
        version->source = source_of(tuple, proc->prolang == ClanguageId);
        fill_arguments(fresh, tuple, context);
        ReleaseSysCache(tuple);
    }
    if (version->name == nullptr)
        version->name = psprintf("function %u", function);
    if (version->language == nullptr)
        version->language = "";
    if (version->source == nullptr)
        version->source = "";
    version->code = code_of(*version);
    fresh.is_tracked = is_tracked(function);
    MemoryContextSwitchTo(before);
    // The old details may still be in use by calls that are running: they go with the transaction.
    if (entry->memory != nullptr)
        MemoryContextSetParent(entry->memory, TopTransactionContext);
    MemoryContextSetParent(context, TopMemoryContext);
    entry->memory = context;
    info = fresh;
    entry->has_details = true;
    return &info;
}

void forget_stale_functions() noexcept {
    if (remove_stale<Entry>(entries, stale, [](const Entry &entry) { return is_running(&entry.info); }))
        last_asked = nullptr;
}

void watch_functions() {
    CacheRegisterSyscacheCallback(PROCOID, dbnet_function_changed, Datum{0});
    CacheRegisterSyscacheCallback(NAMESPACEOID, dbnet_schema_of_functions_changed, Datum{0});
    CacheRegisterRelcacheCallback(dbnet_tracked_functions_changed, Datum{0});
}

} // namespace dbnet::provenance
