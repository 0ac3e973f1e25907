// Checks of names, labels and the rest of an object's metadata, with the server's messages.
#include "validation.hpp"

#include <algorithm>
#include <set>

namespace kubesim {

namespace {

constexpr size_t annotations_limit = 256 * 1024; // bytes of all keys and values

bool lower_alnum(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
bool alnum(char c) {
    return lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

std::string must_be_no_more(size_t count) {
    return "must be no more than " + std::to_string(count) + " characters";
}

bool dns_label(std::string_view text) {
    return !text.empty() && lower_alnum(text.front()) && lower_alnum(text.back()) &&
           std::all_of(text.begin(), text.end(), [](char c) { return lower_alnum(c) || c == '-'; });
}

bool dns_subdomain(std::string_view text) {
    for (;;) {
        size_t dot = std::min(text.find('.'), text.size());
        if (!dns_label(text.substr(0, dot)))
            return false;
        if (dot == text.size())
            return true;
        text.remove_prefix(dot + 1);
    }
}

// ([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]
bool name_part(std::string_view text) {
    return !text.empty() && alnum(text.front()) && alnum(text.back()) &&
           std::all_of(text.begin(), text.end(), [](char c) { return alnum(c) || c == '-' || c == '_' || c == '.'; });
}

const char *const subdomain_message =
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const char *const label_message =
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const char *const letter_first_message =
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and "
    "end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')";
const char *const name_part_message =
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const char *const label_value_message =
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const char *const config_key_message =
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    "'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

void validate_annotations(const json &metadata, std::vector<FieldError> &errors) {
    const json *annotations = find(metadata, "annotations");
    if (!annotations)
        return;
    size_t total = 0;
    for (const auto &[key, value] : annotations->items()) {
        std::string lower = key;
        for (char &c : lower)
            c = static_cast<char>(tolower(c));
        for (const auto &why : qualified_name_errors(lower))
            errors.push_back(FieldError::invalid("metadata.annotations", go_quoted(key), why));
        total += key.size() + value.get_ref<const std::string &>().size();
    }
    if (total > annotations_limit)
        errors.push_back(FieldError::too_long("metadata.annotations", annotations_limit));
}

void validate_finalizers(const json &metadata, std::vector<FieldError> &errors) {
    const json *finalizers = find(metadata, "finalizers");
    if (!finalizers)
        return;
    for (size_t i = 0; i < finalizers->size(); i++) {
        std::string name = (*finalizers)[i].get<std::string>();
        for (const auto &why : qualified_name_errors(name))
            errors.push_back(FieldError::invalid("metadata.finalizers", go_quoted(name), why));
        if (name.find('/') == std::string::npos && name != "orphan" && name != "foregroundDeletion" &&
            name != "kubernetes")
            errors.push_back(
                FieldError::invalid("metadata.finalizers[" + std::to_string(i) + "]", go_quoted(name),
                                    "name is neither a standard finalizer name nor is it fully qualified"));
    }
}

void validate_owners(const json &metadata, std::vector<FieldError> &errors) {
    const json *owners = find(metadata, "ownerReferences");
    if (!owners)
        return;
    for (size_t i = 0; i < owners->size(); i++)
        for (const char *name : {"apiVersion", "kind", "name", "uid"})
            if (text_of((*owners)[i], name).empty())
                errors.push_back(FieldError::invalid(std::string("metadata.ownerReferences.") + name, "\"\"",
                                                     std::string(name == std::string("apiVersion") ? "version" : name) +
                                                         " must not be empty"));
    const json *controller = nullptr;
    for (const auto &owner : *owners) {
        const json *flag = find(owner, "controller");
        if (!flag || *flag != true)
            continue;
        if (controller)
            errors.push_back(FieldError::invalid(
                "metadata.ownerReferences", go_value(*owners, true),
                "Only one reference can have Controller set to true. Found \"true\" in references for " +
                    text_of(*controller, "kind") + "/" + text_of(*controller, "name") + " and " +
                    text_of(owner, "kind") + "/" + text_of(owner, "name")));
        controller = &owner;
    }
}

void immutable(const char *name, const json &after, const json &before, std::vector<FieldError> &errors) {
    const json *now = find(after, name), *then = find(before, name);
    if (!now && !then)
        return;
    if (now && then && *now == *then)
        return;
    std::string printed = now ? dump(*now) : "null";
    if (std::string(name) == "deletionTimestamp" && now) {
        std::string time = now->get<std::string>(); // as Go prints it
        printed = time.substr(0, 10) + " " + time.substr(11, 8) + " +0000 UTC";
    }
    errors.push_back(FieldError::invalid(std::string("metadata.") + name, printed, "field is immutable"));
}

} // namespace

std::vector<std::string> name_errors(NameRule rule, const std::string &name) {
    std::vector<std::string> out;
    size_t limit = rule == NameRule::subdomain ? 253 : 63;
    if (name.size() > limit)
        out.push_back(must_be_no_more(limit));
    if (rule == NameRule::letter_first) {
        if (!dns_label(name) || (name[0] >= '0' && name[0] <= '9'))
            out.push_back(letter_first_message);
    } else if (rule == NameRule::label ? !dns_label(name) : !dns_subdomain(name)) {
        out.push_back(rule == NameRule::label ? label_message : subdomain_message);
    }
    return out;
}

std::vector<std::string> qualified_name_errors(const std::string &name) {
    std::vector<std::string> out;
    size_t slash = name.find('/');
    std::string part = name;
    if (slash != std::string::npos) {
        std::string prefix = name.substr(0, slash);
        part = name.substr(slash + 1);
        if (part.find('/') != std::string::npos)
            return {std::string("a qualified name ") +
                    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
                    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
                    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. "
                    "'example.com/MyName')"};
        if (prefix.empty())
            out.push_back("prefix part must be non-empty");
        else
            for (const auto &why : name_errors(NameRule::subdomain, prefix))
                out.push_back("prefix part " + why);
    }
    if (part.empty())
        out.push_back("name part must be non-empty");
    else if (part.size() > 63)
        out.push_back("name part " + must_be_no_more(63));
    if (!name_part(part))
        out.push_back(name_part_message);
    return out;
}

std::vector<std::string> label_value_errors(const std::string &value) {
    std::vector<std::string> out;
    if (value.size() > 63)
        out.push_back(must_be_no_more(63));
    if (!value.empty() && !name_part(value))
        out.push_back(label_value_message);
    return out;
}

std::vector<std::string> config_key_errors(const std::string &key) {
    std::vector<std::string> out;
    if (key.size() > 253)
        out.push_back(must_be_no_more(253));
    bool fits = !key.empty() && std::all_of(key.begin(), key.end(),
                                            [](char c) { return alnum(c) || c == '-' || c == '_' || c == '.'; });
    if (!fits)
        out.push_back(config_key_message);
    if (key == ".")
        out.push_back("must not be '.'");
    else if (key == "..")
        out.push_back("must not be '..'");
    else if (key.starts_with(".."))
        out.push_back("must not start with '..'");
    return out;
}

void validate_labels(const json &labels, const std::string &path, std::vector<FieldError> &errors) {
    for (const auto &[key, value] : labels.items()) {
        for (const auto &why : qualified_name_errors(key))
            errors.push_back(FieldError::invalid(path, go_quoted(key), why));
        std::string text = value.get<std::string>();
        for (const auto &why : label_value_errors(text))
            errors.push_back(FieldError::invalid(path, go_quoted(text), why));
    }
}

void validate_not_negative(const json &object, const char *name, const std::string &path,
                           std::vector<FieldError> &errors) {
    const json *value = find(object, name);
    if (value && *value < 0)
        errors.push_back(FieldError::invalid(path + "." + name, dump(*value), "must be greater than or equal to 0"));
}

void validate_metadata(const Kind &kind, const json &metadata, std::vector<FieldError> &errors) {
    std::string name = text_of(metadata, "name"), prefix = text_of(metadata, "generateName");
    // A prefix may end with a dash: a letter follows.
    if (prefix.ends_with('-'))
        prefix.back() = 'a';
    if (!prefix.empty())
        for (const auto &why : name_errors(kind.behaviour.name_rule, prefix))
            errors.push_back(
                FieldError::invalid("metadata.generateName", go_quoted(text_of(metadata, "generateName")), why));
    if (name.empty())
        errors.push_back(FieldError::required("metadata.name", "name or generateName is required"));
    else
        for (const auto &why : name_errors(kind.behaviour.name_rule, name))
            errors.push_back(FieldError::invalid("metadata.name", go_quoted(name), why));
    if (const json *labels = find(metadata, "labels"))
        validate_labels(*labels, "metadata.labels", errors);
    validate_annotations(metadata, errors);
    validate_owners(metadata, errors);
    validate_finalizers(metadata, errors);
}

void validate_metadata_update(const json &after, const json &before, std::vector<FieldError> &errors) {
    if (find(before, "deletionTimestamp")) {
        std::set<std::string> old;
        if (const json *finalizers = find(before, "finalizers"))
            old = finalizers->get<std::set<std::string>>();
        std::string added;
        if (const json *finalizers = find(after, "finalizers"))
            for (const auto &one : *finalizers)
                if (!old.contains(one.get<std::string>()))
                    added += (added.empty() ? "" : ", ") + go_quoted(one.get<std::string>());
        if (!added.empty())
            errors.push_back(FieldError::forbidden(
                "metadata.finalizers",
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{" +
                    added + "}"));
    }
    for (const char *name :
         {"name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"})
        immutable(name, after, before, errors);
    if (const json *labels = find(after, "labels"))
        validate_labels(*labels, "metadata.labels", errors);
    validate_annotations(after, errors);
    validate_owners(after, errors);
    validate_finalizers(after, errors);
}

} // namespace kubesim
