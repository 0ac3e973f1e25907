// dbnet.plan(): what the commit of the running transaction would send, decided by the worker's own code from the
// transaction's own rows. Reads, and sends nothing; needs no worker. Runs in backends.
#include "capture/capture.hpp"
#include "mirror/decision/kind_rank.hpp"
#include "mirror/decision/mass_change.hpp"
#include "mirror/decision/merge.hpp"
#include "mirror/functions/as_extension.hpp"
#include "mirror/functions/mirrored_rows.hpp"
#include "mirror/functions/outlook.hpp"
#include "mirror/functions/row_writer.hpp"
#include "mirror/store/operation_store.hpp"
#include "settings.hpp"

#include <algorithm>
#include <tuple>

namespace dbnet::mirror {
namespace {

constexpr size_t planned_per_turn = 500; // bounds memory: each brings its whole live object

// With the caller's rights. No row: the table was dropped.
const pg::Statement ask_rights{
    "SELECT has_table_privilege(oid, 'SELECT') AND has_schema_privilege(relnamespace, 'USAGE'),"
    " row_security_active(oid) FROM pg_class WHERE oid = $1"};

const pg::Statement name_function{
    "SELECT CASE prokind WHEN 'p' THEN 'procedure ' ELSE 'function ' END, oid::regprocedure"
    " FROM pg_proc WHERE oid = $1"};
const pg::Statement name_trigger{"SELECT format('trigger %I on %s', tgname, tgrelid::regclass)"
                                 " FROM pg_trigger WHERE oid = $1"};

struct Line {
    int rank = 0;
    std::string mirror, key; // key: empty when all of the mirror is meant
    Oid relation = InvalidOid;
    std::string operation, verdict, subresource; // subresource: empty for the object itself
    std::optional<std::string> fields;
    capture::Cause cause;

    auto order() const { return std::tie(rank, mirror, key); } // parts of one object stay as they were added
};

// What the transaction changed of one mirror.
struct Changed {
    std::vector<Key> keys;
    std::vector<capture::Cause> causes;
    int64_t updates = 0, removes = 0;
    bool is_whole = false;     // more than is remembered one by one, or dbnet.resync() was called
    bool has_requests = false; // operations were asked for
};

std::string name_frame(const capture::Frame &frame) {
    const std::string line = frame.line > 0 ? " line " + std::to_string(frame.line) : std::string();
    if (!frame.text.empty())
        return std::string(frame.text);
    if (frame.function == 0)
        return "anonymous block" + line;
    const pg::Result function = pg::execute(name_function, Oid{frame.function});
    const std::string name = function.rows() > 0 ? std::string(function.text(0, 1)) : "a dropped function";
    const std::string kind = function.rows() > 0 ? std::string(function.text(0, 0)) : std::string();
    if (frame.trigger == 0)
        return kind + name + line;
    const pg::Result trigger = pg::execute(name_trigger, Oid{frame.trigger});
    return (trigger.rows() > 0 ? std::string(trigger.text(0, 0)) : "a dropped trigger") + ": " + name + line;
}

// Innermost first; NULL: the change was made by a statement that no function ran.
class CauseNames {
public:
    RowWriter::Value name(capture::Cause cause) {
        if (cause.empty())
            return std::nullopt;
        const auto [entry, is_new] = names_.try_emplace(cause.data());
        std::string &name = entry->second;
        if (is_new)
            for (const capture::Frame &frame : cause)
                name += (name.empty() ? "" : ", from ") + name_frame(frame);
        return name;
    }

private:
    std::map<const capture::Frame *, std::string> names_; // each cause is stored once
};

// Why nothing of the mirror would be sent now; empty: it would.
std::string closed_reason(const Mirror &mirror, const Arming &arming) {
    if (!arming.armed)
        return "disarmed: " + arming.disarmed_reason;
    if (!settings::actuate)
        return "dbnet.actuate is off";
    return mirror.paused_reason.empty() ? std::string() : "paused: " + mirror.paused_reason;
}

class Plan {
public:
    explicit Plan(const Arming &arming) : arming_(arming) {}

    void add(const Mirror &mirror, const Changed &changed, bool is_hidden) {
        if (changed.is_whole)
            lines_.push_back({apply_rank(mirror.resource.group, mirror.resource.kind),
                              mirror.qualified_name,
                              "",
                              mirror.relation,
                              "compare",
                              "send what differs: every row is compared with its object",
                              "",
                              std::nullopt,
                              {}});
        const int64_t total = as_extension([&] { return count_objects(mirror.relation); });
        if (changed.has_requests)
            add_requests(mirror, total);
        for (size_t first = 0; first < changed.keys.size(); first += planned_per_turn) {
            const std::span keys =
                std::span(changed.keys).subspan(first, std::min(planned_per_turn, changed.keys.size() - first));
            std::vector<Subject> subjects;
            for (const Key &key : keys)
                subjects.push_back({key, std::nullopt, {}});
            const std::vector<std::optional<Json>> rows = find_rows(mirror, keys);
            load_stored(subjects);
            for (size_t i = 0; i < keys.size(); i++) {
                if (rows[i])
                    subjects[i].row = mirror.mapping.to_object_form(*rows[i]);
                else if (is_hidden)
                    continue; // deleted, or not for the caller's eyes
                add(mirror, changed, total, subjects[i], changed.causes[first + i]);
            }
        }
    }

    void write(RowWriter &rows) {
        std::ranges::stable_sort(lines_, {}, &Line::order);
        CauseNames names;
        int step = 0, rank = -1;
        for (const Line &line : lines_) {
            step += line.rank != std::exchange(rank, line.rank);
            rows.add({std::to_string(step), std::to_string(line.relation),
                      line.key.empty() ? std::nullopt : RowWriter::Value(line.key), line.operation,
                      line.subresource.empty() ? std::nullopt : RowWriter::Value(line.subresource), line.fields,
                      line.verdict, as_extension([&] { return names.name(line.cause); })});
        }
    }

private:
    // What removes pods counts as a deletion, as it does in the worker.
    void add_requests(const Mirror &mirror, int64_t total) {
        const auto requests = as_extension([&] { return load_requests(mirror.relation); });
        const auto class_of = [](const RequestedOperation &request) {
            return removes(request.kind) ? ChangeClass::remove : ChangeClass::update;
        };
        for (const RequestedOperation &request : requests) {
            const auto changed = std::ranges::count(requests, class_of(request), class_of);
            const std::string mass =
                mass_change_reason("the transaction", class_of(request), changed, total,
                                   {settings::hold_objects, settings::hold_minimum, settings::hold_percent});
            const std::string closed = closed_reason(mirror, arming_);
            lines_.push_back({apply_rank(mirror.resource.group, mirror.resource.kind),
                              mirror.qualified_name,
                              request.key.text(),
                              mirror.relation,
                              to_text(request.kind),
                              !mass.empty()     ? "held: " + mass
                              : !closed.empty() ? "wait: " + closed
                                                : "send",
                              {},
                              request.arguments,
                              capture::cause_of_request(request.id)});
        }
    }

    void add(const Mirror &mirror, const Changed &changed, int64_t total, const Subject &subject,
             capture::Cause cause) {
        const Outlook outlook = foresee(mirror, subject);
        const Decision &decision = outlook.decision;
        if (!subject.row && !subject.stored.tombstone)
            return; // an operator's retry of what is gone
        const auto rank = subject.row ? apply_rank : remove_rank;
        Line line{rank(mirror.resource.group, mirror.resource.kind),
                  mirror.qualified_name,
                  subject.key.text(),
                  mirror.relation,
                  outlook.operation,
                  verdict(mirror, changed, total, subject, outlook),
                  "",
                  std::nullopt,
                  cause};
        const auto add_fields = [&](const auto &is_wanted) {
            Json fields = Json::object();
            for (const std::string &path : decision.changed)
                if (is_wanted(path))
                    fields[path] = decision.fields.at(path);
            line.fields = storable(std::move(fields)).dump(-1, ' ', false, Json::error_handler_t::replace);
            lines_.push_back(line);
        };
        if (decision.action == Action::release)
            return add_fields([](const std::string &) { return true; });
        if (decision.action != Action::create && decision.action != Action::update)
            return lines_.push_back(std::move(line));
        for (const std::string &part : parts_of(mirror.mapping, decision)) {
            line.subresource = part;
            add_fields([&](const std::string &path) { return mirror.mapping.by_path(path)->subresource == part; });
        }
    }

    std::string verdict(const Mirror &mirror, const Changed &changed, int64_t total, const Subject &subject,
                        const Outlook &outlook) const {
        const Action action = outlook.decision.action;
        if (subject.row && subject.object() && is_import_under_way(mirror.mapping, *subject.object()))
            return "wait: the object is being imported";
        const bool acts = action == Action::create || action == Action::update || action == Action::release ||
                          action == Action::remove;
        if (!mirror.settings.manage)
            return acts || action == Action::hold ? "not sent: the mirror is in mode observe" : outlook.verdict;
        if (!acts)
            return outlook.verdict;
        if (action == Action::update || action == Action::remove) { // an approval is of another transaction
            const bool removes = action == Action::remove;
            const std::string mass =
                mass_change_reason("the transaction", removes ? ChangeClass::remove : ChangeClass::update,
                                   removes ? changed.removes : changed.updates, total,
                                   {settings::hold_objects, settings::hold_minimum, settings::hold_percent});
            if (!mass.empty())
                return "held: " + mass;
        }
        if (const std::string closed = closed_reason(mirror, arming_); !closed.empty())
            return "wait: " + closed;
        if (action == Action::remove) {
            const auto blockers = as_extension([&] { return load_blockers({{subject.key}}); });
            if (!blockers.empty())
                return "wait: " + blockers.begin()->second.text();
        }
        if (action == Action::remove && outlook.decision.uid.empty())
            return "send if the object is DBNet's: nobody has seen it yet";
        std::string taken;
        for (const auto &[path, manager] : outlook.taken_from)
            taken += (taken.empty() ? "send: takes " : ", ") + path + " from " + manager;
        return taken.empty() ? outlook.verdict : taken;
    }

    const Arming &arming_;
    std::vector<Line> lines_;
};

std::map<Oid, Changed> changed_mirrors() {
    std::map<Oid, Changed> mirrors;
    for (const auto &[change, cause] : capture::pending_changes()) {
        if (change.operation == 'S')
            continue; // configuration
        Changed &changed = mirrors[change.relation];
        changed.updates += change.operation == 'U' || change.operation == 'A';
        changed.removes += change.operation == 'D';
        changed.is_whole |= change.operation == 'C';
        changed.has_requests |= change.operation == 'O';
        if (change.operation == 'C' || change.operation == 'O')
            continue;
        changed.keys.push_back({change.relation, std::string(change.name_space), std::string(change.name)});
        changed.causes.push_back(cause);
    }
    return mirrors;
}

void warn_of_hidden(size_t hidden) {
    if (hidden > 0)
        pg::warning(ERRCODE_INSUFFICIENT_PRIVILEGE, "some changes of the transaction are not shown",
                    "dbnet.plan() shows rows of tables that the caller may SELECT, as row-level security lets them be "
                    "seen.");
}

} // namespace

DBNET_FUNCTION(dbnet_plan) {
    RowWriter rows(fcinfo);
    const std::map<Oid, Changed> mirrors = changed_mirrors();
    size_t hidden = 0;
    pg::in_spi([&] {
        const Arming arming = as_extension([] { return load_arming(); });
        Plan plan(arming);
        for (const auto &[relation, changed] : mirrors) {
            const std::optional<Mirror> mirror = as_extension([&] { return load_mirror(relation); });
            const pg::Result rights = pg::execute(ask_rights, relation);
            if (!mirror || rights.rows() == 0)
                continue; // a mirror no more
            if (!mirror->problem.empty())
                pg::warning(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                            "changes of " + mirror->qualified_name + " are not sent: " + mirror->problem,
                            "Give a new column map with dbnet.alter_mirror().");
            const bool may_read = rights.boolean(0, 0);
            hidden += !may_read || rights.boolean(0, 1);
            if (may_read && mirror->problem.empty())
                plan.add(*mirror, changed, rights.boolean(0, 1));
        }
        plan.write(rows);
    });
    warn_of_hidden(hidden);
    return Datum{0};
}

} // namespace dbnet::mirror
