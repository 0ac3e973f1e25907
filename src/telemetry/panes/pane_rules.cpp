// Counting by rules (see pane_rules.hpp).
#include "telemetry/panes/pane_rules.hpp"

#include "pg/guard.hpp"
#include "telemetry/tables/configuration.hpp"
#include "telemetry/tables/jsonb_bytes.hpp"

extern "C" {
#include "utils/jsonb.h"
#include "utils/memutils.h"
}

namespace dbnet::telemetry {
namespace {

JsonbContainer *container(Jsonb jsonb) noexcept {
    return &const_cast<::Jsonb *>(reinterpret_cast<const ::Jsonb *>(jsonb))->root;
}

// What a rule's name stands for in a record. May longjmp.
struct Subject {
    const Resource &resource;
    std::string_view name; // of the span or event
    Jsonb attributes;
    int16_t kind, status_code, severity_number;

    // nullptr: it has no such value.
    JsonbValue *find(std::string_view wanted) const {
        if (wanted == "name")
            return text(name);
        if (wanted == "kind")
            return number(kind);
        if (wanted == "status_code")
            return number(status_code);
        if (wanted == "severity_number")
            return number(severity_number);
        if (wanted == "service_name" && !resource.service_name.empty())
            return text(resource.service_name);
        for (const Jsonb object : {attributes, resource.attributes})
            if (object != nullptr)
                if (JsonbValue *value = getKeyJsonValueFromContainer(container(object), wanted.data(),
                                                                     static_cast<int>(wanted.size()), nullptr))
                    return value;
        return nullptr;
    }

private:
    static JsonbValue *text(std::string_view value) {
        auto *made = static_cast<JsonbValue *>(palloc(sizeof(JsonbValue)));
        made->type = jbvString;
        made->val.string.val = const_cast<char *>(value.data());
        made->val.string.len = static_cast<int>(value.size());
        return made;
    }
    static JsonbValue *number(int16_t value) {
        auto *made = static_cast<JsonbValue *>(palloc(sizeof(JsonbValue)));
        made->type = jbvNumeric;
        made->val.numeric = int64_to_numeric(value);
        return made;
    }
};

bool matches(const PaneRule &rule, const Subject &subject) {
    for (const PaneRule::Condition &condition : rule.match) {
        JsonbValue *value = subject.find(condition.name);
        if (value == nullptr ||
            compareJsonbContainers(&JsonbValueToJsonb(value)->root, container(condition.value.data())) != 0)
            return false;
    }
    return true;
}

::Jsonb *grouping_of(const PaneRule &rule, const Subject &subject) {
    JsonbParseState *state = nullptr;
    pushJsonbValue(&state, WJB_BEGIN_OBJECT, nullptr);
    for (const std::string &name : rule.group_by) {
        JsonbValue key;
        key.type = jbvString;
        key.val.string.val = const_cast<char *>(name.data());
        key.val.string.len = static_cast<int>(name.size());
        pushJsonbValue(&state, WJB_KEY, &key);
        JsonbValue absent;
        absent.type = jbvNull;
        JsonbValue *value = subject.find(name);
        pushJsonbValue(&state, WJB_VALUE, value != nullptr ? value : &absent);
    }
    return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, nullptr));
}

// Calls count_one(record's place, key) for each rule that a record matches.
template<class Record>
void count_records(Signal signal, const std::vector<Record> &records, const std::vector<Instant> &times,
                   Groupings &groupings, auto subject_of, auto count_one) {
    const Configuration &wishes = configuration();
    if (records.empty() || !wishes.has_rule(signal))
        return;
    pg::call([&] {
        const MemoryContext context =
            AllocSetContextCreateInternal(CurrentMemoryContext, "DBNet pane rules", ALLOCSET_DEFAULT_SIZES);
        const MemoryContext before = MemoryContextSwitchTo(context);
        for (size_t place = 0; place < records.size(); ++place) {
            const Subject subject = subject_of(records[place]);
            for (const PaneRule &rule : wishes.rules) {
                if (rule.signal != signal || !matches(rule, subject))
                    continue;
                PaneKey key{start_of_second(times[place]), records[place].resource, rule.rule, 0,
                            signal == Signal::logs ? subject.severity_number : subject.kind};
                if (!rule.group_by.empty()) {
                    const ::Jsonb *group = grouping_of(rule, subject);
                    key.grouping = groupings.number_of({reinterpret_cast<const char *>(group), VARSIZE(group)});
                }
                count_one(place, key);
            }
            MemoryContextReset(context);
        }
        MemoryContextSwitchTo(before);
        MemoryContextDelete(context);
    });
}

} // namespace

void count_by_rules(const Batch &batch, const std::vector<Instant> &span_times, const std::vector<Instant> &log_times,
                    Panes &panes, Groupings &groupings) {
    count_records(
        Signal::traces, batch.spans, span_times, groupings,
        [&](const Span &span) {
            return Subject{batch.resources[span.resource], span.name, span.attributes, span.kind, span.status_code, 0};
        },
        [&](size_t place, const PaneKey &key) { panes.add_span(batch.spans[place], key); });
    count_records(
        Signal::logs, batch.log_records, log_times, groupings,
        [&](const LogRecord &record) {
            return Subject{
                batch.resources[record.resource], record.event_name, record.attributes, 0, 0, record.severity_number};
        },
        [&](size_t, const PaneKey &key) { panes.add_log(key); });
}

} // namespace dbnet::telemetry
