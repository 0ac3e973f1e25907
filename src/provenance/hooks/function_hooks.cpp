// Frames for calls and activations (see function_hooks.hpp). Backends.
//
// PostgreSQL's hook is told of the start and the end of a call, but not of its arguments. At the start it is handed the
// FmgrInfo through which the function is about to be called: putting a function of ours in its place gives us the call
// with all its arguments, for every language. That is no documented behaviour of PostgreSQL's, so it is done here
// alone. No C++ object with a destructor is alive in any of this: errors pass through by longjmp.
#include "provenance/hooks/function_hooks.hpp"

#include "provenance/hooks/function_info.hpp"
#include "provenance/record/failures.hpp"
#include "provenance/record/tracked_table.hpp"

extern "C" {
#include "access/htup_details.h"
#include "commands/trigger.h"
#include "storage/itemptr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/expandeddatum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
}

namespace dbnet::provenance {
namespace {

needs_fmgr_hook_type previous_needs_hook = nullptr;
fmgr_hook_type previous_function_hook = nullptr;

// Of one FmgrInfo, in its memory.
struct State {
    Datum next;          // of the hook before ours
    PGFunction original; // that our function stands in for; nullptr: it does not
};

// ---- what goes on record ----

const TriggerData *trigger_of(const Frame &frame) noexcept {
    return frame.call != nullptr && CALLED_AS_TRIGGER(frame.call) ? reinterpret_cast<TriggerData *>(frame.call->context)
                                                                  : nullptr;
}

Jsonb *arguments_of(const Frame &frame) {
    const FunctionInfo &function = *frame.function;
    const FunctionCallInfo call = frame.call;
    if (function.argument_count == 0 || call->nargs < function.argument_count)
        return nullptr;
    auto *fields = static_cast<JsonbField *>(palloc0(sizeof(JsonbField) * function.argument_count));
    for (int place = 0; place < function.argument_count; ++place) {
        const int index = function.argument_order[place];
        JsonbField &field = fields[place];
        field.name = function.shown_names[index];
        if (call->args[index].isnull)
            continue;
        const ValueForm &known = function.argument_forms[index];
        if (OidIsValid(known.type)) {
            set_value(field, known, call->args[index].value);
            continue;
        }
        const Oid type = get_fn_expr_argtype(call->flinfo, index);
        if (OidIsValid(type))
            set_value(field, form_of(type, CurrentMemoryContext, false), call->args[index].value);
    }
    return make_object(fields, function.argument_count);
}

const char *event_name(TriggerEvent event) noexcept {
    return TRIGGER_FIRED_BY_INSERT(event)   ? "insert"
           : TRIGGER_FIRED_BY_UPDATE(event) ? "update"
           : TRIGGER_FIRED_BY_DELETE(event) ? "delete"
                                            : "truncate";
}

Jsonb *trigger_arguments(const Trigger &trigger) {
    if (trigger.tgnargs == 0)
        return nullptr;
    JsonbParseState *state = nullptr;
    pushJsonbValue(&state, WJB_BEGIN_ARRAY, nullptr);
    for (int index = 0; index < trigger.tgnargs; ++index) {
        JsonbValue value;
        value.type = jbvString;
        value.val.string.val = trigger.tgargs[index];
        value.val.string.len = static_cast<int>(strlen(trigger.tgargs[index]));
        pushJsonbValue(&state, WJB_ELEM, &value);
    }
    return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, nullptr));
}

// What a BEFORE trigger did to the row that it was given.
struct Intervention {
    Jsonb *key = nullptr;
    Jsonb *changed = nullptr;
    bool is_suppressed = false;
};

Jsonb *activation_detail(const TriggerData &fired, const FunctionInfo &function, const Intervention &did) {
    JsonbField fields[8]; // in jsonb's order of names
    int count = 0;
    const auto add = [&](const char *name) -> JsonbField & {
        fields[count].name = name;
        return fields[count++];
    };
    if (did.key != nullptr)
        add("key").set(did.key);
    add("when").set(std::string_view(TRIGGER_FIRED_BEFORE(fired.tg_event)    ? "before"
                                     : TRIGGER_FIRED_INSTEAD(fired.tg_event) ? "instead of"
                                                                             : "after"));
    add("event").set(std::string_view(event_name(fired.tg_event)));
    add("level").set(std::string_view(TRIGGER_FIRED_FOR_ROW(fired.tg_event) ? "row" : "statement"));
    if (!tracked_table(fired.tg_relation)->is_tracked)
        add("table").set(std::string_view(quote_qualified_identifier(
            get_namespace_name(RelationGetNamespace(fired.tg_relation)), RelationGetRelationName(fired.tg_relation))));
    if (did.changed != nullptr)
        add("changed").set(did.changed);
    add("function").set(std::string_view(function.version->name));
    if (did.is_suppressed)
        add("suppressed").set(true);
    return make_object(fields, count);
}

template<class F> auto in_record_memory(F f) {
    const MemoryContext before = MemoryContextSwitchTo(record_memory());
    auto result = f();
    MemoryContextSwitchTo(before);
    return result;
}

// The version that an AFTER ROW trigger was fired for; it may come up only later, after this trigger.
RecordNumber version_of(const TriggerData &fired) {
    if (!TRIGGER_FIRED_FOR_ROW(fired.tg_event) || !TRIGGER_FIRED_AFTER(fired.tg_event))
        return 0;
    const HeapTuple row = TRIGGER_FIRED_BY_UPDATE(fired.tg_event) ? fired.tg_newtuple : fired.tg_trigtuple;
    if (row == nullptr || !ItemPointerIsValid(&row->t_self))
        return 0;
    const TrackedTable &table = *tracked_table(fired.tg_relation);
    return version_at({RelationGetRelid(fired.tg_relation), row->t_self, command_of(table, fired)}, table.is_tracked);
}

// ---- BEFORE triggers ----

JsonbField field_of(const TrackedTable &table, const TrackedColumn &column, HeapTuple row, TupleDesc columns) {
    JsonbField field;
    field.name = column.name;
    bool is_null = false;
    const Datum value = heap_getattr(row, column.number, columns, &is_null);
    if (!is_null) {
        set_value(field, column.form, value);
        if (column.is_redacted)
            field.set(digest_of(table, field));
    }
    return field;
}

bool is_same(const TrackedColumn &column, HeapTuple left, HeapTuple right, TupleDesc columns) {
    bool left_null = false, right_null = false;
    const Datum one = heap_getattr(left, column.number, columns, &left_null);
    const Datum other = heap_getattr(right, column.number, columns, &right_null);
    return left_null || right_null ? left_null == right_null
                                   : datum_image_eq(one, other, column.by_value, column.length);
}

// nullptr: nothing worth a word.
Jsonb *changed_columns(const TrackedTable &table, HeapTuple given, HeapTuple returned, TupleDesc columns) {
    auto *fields = static_cast<JsonbField *>(palloc0(sizeof(JsonbField) * (table.count + 1)));
    int count = 0;
    for (int index = 0; index < table.count; ++index)
        if (!is_same(table.columns[index], given, returned, columns))
            fields[count++] = field_of(table, table.columns[index], returned, columns);
    return count > 0 ? make_object(fields, count) : nullptr;
}

Jsonb *key_of(const TrackedTable &table, HeapTuple row, TupleDesc columns) {
    auto *fields = static_cast<JsonbField *>(palloc0(sizeof(JsonbField) * (table.key_count + 1)));
    int count = 0;
    for (int index = 0; index < table.count; ++index)
        if (table.columns[index].is_key)
            fields[count++] = field_of(table, table.columns[index], row, columns);
    return make_object(fields, count);
}

void note_intervention(Frame *frame, const TriggerData &fired, HeapTuple given, Datum result) {
    if (!TRIGGER_FIRED_BEFORE(fired.tg_event) || !TRIGGER_FIRED_FOR_ROW(fired.tg_event))
        return;
    const TrackedTable &table = *tracked_table(fired.tg_relation);
    if (!table.is_tracked)
        return;
    const TupleDesc columns = RelationGetDescr(fired.tg_relation);
    const auto returned = reinterpret_cast<HeapTuple>(DatumGetPointer(result));
    Intervention did;
    did.is_suppressed = returned == nullptr;
    if (!did.is_suppressed && returned != given && !TRIGGER_FIRED_BY_DELETE(fired.tg_event))
        did.changed = in_record_memory([&] { return changed_columns(table, given, returned, columns); });
    if (!did.is_suppressed && did.changed == nullptr && !table.all_activations)
        return;
    did.key = in_record_memory([&] { return key_of(table, did.is_suppressed ? given : returned, columns); });
    keep_activity(frame);
    if (Record *record = frame->recorded_in == transaction_serial() ? open_record(frame->activity) : nullptr;
        record != nullptr)
        record->activity.detail = in_record_memory([&] { return activation_detail(fired, *frame->function, did); });
}

// ---- the hooks ----

void begin_call(Frame *frame, const TriggerData *fired) {
    bool is_kept = frame->function->is_tracked;
    if (fired != nullptr) {
        const TrackedTable &table = *tracked_table(fired->tg_relation);
        frame->kind = ActivityKind::activation;
        frame->relation = table.is_tracked ? table.number : 0;
        is_kept |= table.all_activations;
    }
    if (is_kept)
        keep_activity(frame);
}

// A function owns the arrays and rows that it may write to in place: what it changes would be changed, or gone, when it
// is recorded. It gets them read-only, and copies what it changes.
void protect_arguments(const FunctionInfo &function, FunctionCallInfo call) {
    for (int index = 0; index < function.argument_count && index < call->nargs; ++index) {
        int16 length = function.argument_lengths[index];
        if (length == 0)
            if (const Oid type = get_fn_expr_argtype(call->flinfo, index); OidIsValid(type))
                length = get_typlen(type);
        call->args[index].value = MakeExpandedObjectReadOnly(call->args[index].value, call->args[index].isnull, length);
    }
}

// Stands in for every function that has a frame.
extern "C" Datum dbnet_called_function(FunctionCallInfo call) {
    Frame *frame = top_frame();
    while (frame != nullptr && frame->manager != call->flinfo)
        frame = frame->below;
    if (frame == nullptr) // cannot be: the start of the call was told
        return Datum{0};
    frame->call = call;
    if (!is_recording())
        return frame->original(call);
    const TriggerData *fired = trigger_of(*frame);
    or_warn("a call", [frame, fired] { begin_call(frame, fired); });
    const HeapTuple given = fired == nullptr                           ? nullptr
                            : TRIGGER_FIRED_BY_UPDATE(fired->tg_event) ? fired->tg_newtuple
                                                                       : fired->tg_trigtuple;
    protect_arguments(*frame->function, call);
    const Datum result = frame->original(call);
    if (fired != nullptr && is_recording())
        or_warn("what a trigger did", [=] { note_intervention(frame, *fired, given, result); });
    return result;
}

bool is_ours(Oid function) {
    return is_recording() && wants_frame(function);
}

extern "C" bool dbnet_needs_function_hook(Oid function) {
    return (previous_needs_hook != nullptr && previous_needs_hook(function)) || is_ours(function);
}

void start_call(State *state, FmgrInfo *manager) {
    if (state->original == nullptr) {
        if (!is_ours(manager->fn_oid)) // another hook's
            return;
        state->original = manager->fn_addr;
        manager->fn_addr = dbnet_called_function; // from now on every call has a frame
    }
    Frame *frame = new_frame(ActivityKind::call);
    frame->function = function_info(manager->fn_oid);
    frame->version = frame->function->version;
    frame->manager = manager;
    frame->original = state->original;
    push_frame(frame);
    release_frame(frame); // the stack's reference is left
}

void end_call(const FmgrInfo *manager, ActivityStatus status) noexcept {
    Frame *frame = top_frame();
    while (frame != nullptr && frame->manager != manager)
        frame = frame->below;
    if (frame == nullptr)
        return;
    frame->call = nullptr;
    end_frame(frame, status);
    finish_activity(frame);
    pop_frame(frame);
}

extern "C" void dbnet_function_hook(FmgrHookEventType event, FmgrInfo *manager, Datum *argument) {
    auto *state = reinterpret_cast<State *>(DatumGetPointer(*argument));
    if (state == nullptr) {
        state = static_cast<State *>(MemoryContextAllocZero(manager->fn_mcxt, sizeof(State)));
        *argument = PointerGetDatum(state);
    }
    if (event == FHET_START) {
        if (previous_function_hook != nullptr)
            previous_function_hook(event, manager, &state->next);
        start_call(state, manager);
    } else {
        end_call(manager, event == FHET_END ? ActivityStatus::done : ActivityStatus::failed);
        if (previous_function_hook != nullptr)
            previous_function_hook(event, manager, &state->next);
    }
}

} // namespace

void describe_call(Activity &activity, const Frame &frame) {
    if (frame.call == nullptr)
        return;
    if (const TriggerData *fired = trigger_of(frame); fired != nullptr) {
        const Trigger &trigger = *fired->tg_trigger;
        activity.name = MemoryContextStrdup(record_memory(), trigger.tgname);
        activity.arguments = in_record_memory([&] { return trigger_arguments(trigger); });
        activity.detail = in_record_memory([&] { return activation_detail(*fired, *frame.function, {}); });
        activity.started_by = version_of(*fired);
        activity.relation = frame.relation;
        return;
    }
    activity.arguments = in_record_memory([&] { return arguments_of(frame); });
}

void install_function_hooks() {
    previous_needs_hook = needs_fmgr_hook;
    needs_fmgr_hook = dbnet_needs_function_hook;
    previous_function_hook = fmgr_hook;
    fmgr_hook = dbnet_function_hook;
}

} // namespace dbnet::provenance
