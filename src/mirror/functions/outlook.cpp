// Decisions in words (see outlook.hpp). Runs in backends.
#include "mirror/functions/outlook.hpp"

#include "kubernetes/object/path.hpp"
#include "mirror/functions/as_extension.hpp"
#include "settings.hpp"

namespace dbnet::mirror {
namespace {

const pg::Statement select_object_managers{
    "SELECT object.managers FROM unnest($2, $3) WITH ORDINALITY AS wanted(namespace, name, number)"
    " LEFT JOIN dbnet.object ON object.relation = $1 AND object.namespace = wanted.namespace AND object.name = "
    "wanted.name"
    " ORDER BY wanted.number"};

const char *operation_of(const Subject &subject) {
    if (!subject.row)
        return "delete";
    return subject.object() && subject.object()->exists() ? "update" : "create";
}

// Fields that somebody else owns and that have another value there.
bool is_contested(const Mirror &mirror, const Subject &subject, const Decision &decision, const std::string &path) {
    const std::string manager = subject.manager_of(path);
    if (manager.empty() || manager == mirror.field_manager || !subject.object())
        return false;
    const Column *column = mirror.mapping.by_path(path);
    return !same_value(*column, find_field(decision.fields, path),
                       kubernetes::get(subject.object()->live, column->field));
}

// Whether DBNet may take all contested fields at once, and from whom.
void judge_update(const Mirror &mirror, const Subject &subject, Outlook &outlook) {
    const Decision &decision = outlook.decision;
    ConflictQuestion question;
    question.first_written = &subject.object()->first_written;
    question.enforce = decision.enforce;
    std::set<std::string> contested;
    for (const auto &[path, value] : decision.fields)
        if (is_contested(mirror, subject, decision, path)) {
            contested.insert(path);
            if (decision.adopted.contains(path)) {
                question.adopts = true;
                continue;
            }
            question.paths.insert(path);
            question.managers.insert(subject.manager_of(path));
        }
    if (contested.empty())
        return;
    if (may_force(question, settings::respected_manager_list())) {
        for (const std::string &path : contested)
            outlook.taken_from.emplace(path, subject.manager_of(path));
        return;
    }
    outlook.verdict = "conflict: fields of the object belong to ";
    for (const std::string &manager : question.managers)
        outlook.verdict += (manager == *question.managers.begin() ? "" : ", ") + manager;
}

} // namespace

std::string Subject::manager_of(const std::string &path, size_t part) const {
    const auto found = managers.find(path);
    if (found == managers.end() || !found->is_array() || found->size() <= part || !(*found)[part].is_string())
        return {};
    return (*found)[part].get<std::string>();
}

void load_stored(std::vector<Subject> &subjects) {
    std::vector<Key> keys;
    std::vector<std::string> name_spaces, names;
    for (const Subject &subject : subjects) {
        keys.push_back(subject.key);
        name_spaces.push_back(subject.key.name_space);
        names.push_back(subject.key.name);
    }
    if (keys.empty())
        return;
    as_extension([&] {
        std::vector<StoredObject> stored = load_objects(keys, true);
        const pg::Result managers = pg::execute(select_object_managers, Oid{keys.front().relation}, name_spaces, names);
        for (size_t i = 0; i < subjects.size(); i++) {
            subjects[i].stored = std::move(stored[i]);
            if (managers.at(i, 0))
                subjects[i].managers = Json::parse(managers.at(i, 0));
        }
    });
}

Outlook foresee(const Mirror &mirror, const Subject &subject) {
    MirrorSettings settings = mirror.settings;
    settings.manage = true;
    Situation situation;
    situation.mapping = &mirror.mapping;
    situation.settings = &settings;
    situation.name = subject.key.name;
    situation.row = subject.row ? &*subject.row : nullptr;
    situation.object = subject.object();
    situation.tombstone = subject.stored.tombstone ? &*subject.stored.tombstone : nullptr;
    situation.releases = &subject.stored.releases;
    situation.adopted = &subject.stored.adopted;
    situation.hold = subject.hold();
    Outlook outlook;
    outlook.decision = decide(situation);
    outlook.operation = operation_of(subject);
    const std::string &message = outlook.decision.message;
    switch (outlook.decision.action) {
    case Action::release:
        outlook.operation = "release";
        [[fallthrough]];
    case Action::create:
    case Action::remove:
        outlook.verdict = "send";
        break;
    case Action::update:
        outlook.verdict = "send";
        judge_update(mirror, subject, outlook);
        break;
    case Action::hold:
        outlook.verdict = "held: " + message;
        break;
    case Action::refuse:
        outlook.verdict = "refused: " + message;
        break;
    case Action::wait:
        outlook.verdict = "wait: " + message;
        break;
    case Action::nothing:
        outlook.verdict = "nothing: " + (message.empty() ? "the object is so already" : message);
        break;
    case Action::restore:
        outlook.verdict = "nothing: the row gets back what the device has";
        break;
    case Action::forget:
        outlook.verdict = "nothing: the object is gone already";
        break;
    }
    return outlook;
}

} // namespace dbnet::mirror
