// What is special about Secrets.
#include "kinds.hpp"

#include "file.hpp"
#include "validation.hpp"

namespace kubesim {

namespace {

constexpr size_t secret_limit = 1048576; // bytes of all decoded values

// stringData is only written, never read: it goes into data.
void secret_defaults(json &object) {
    if (const json *text = find(object, "stringData")) {
        for (const auto &[key, value] : text->items())
            object["data"][key] = base64(value.get<std::string>());
        object.erase("stringData");
    }
    if (text_of(object, "type").empty())
        object["type"] = "Opaque";
}

// Keys that a type demands.
std::vector<std::string> required_keys(const std::string &type) {
    if (type == "kubernetes.io/tls")
        return {"tls.crt", "tls.key"};
    if (type == "kubernetes.io/dockerconfigjson")
        return {".dockerconfigjson"};
    if (type == "kubernetes.io/ssh-auth")
        return {"ssh-privatekey"};
    return {};
}

void secret_validate(const json &after, const json *before, std::vector<FieldError> &errors) {
    const json *data = find(after, "data");
    size_t total = 0;
    if (data)
        for (const auto &[key, value] : data->items()) {
            for (const auto &why : config_key_errors(key))
                errors.push_back(FieldError::invalid("data[" + key + "]", go_quoted(key), why));
            std::string bytes;
            if (base64_decode(value.get<std::string>(), bytes))
                total += bytes.size();
        }
    if (total > secret_limit)
        errors.push_back(FieldError::too_long("data", secret_limit));
    const std::string type = text_of(after, "type");
    for (const auto &key : required_keys(type))
        if (!data || !data->contains(key))
            errors.push_back(FieldError::required("data[" + key + "]", ""));
    if (!before)
        return;
    if (type != text_of(*before, "type"))
        errors.push_back(FieldError::invalid("type", go_quoted(type), "field is immutable"));
    if (const json *was = find(*before, "immutable"); was && *was == true) {
        const std::string why = "field is immutable when `immutable` is set";
        if (const json *now = find(after, "immutable"); !now || *now != true)
            errors.push_back(FieldError::forbidden("immutable", why));
        if (after.value("data", json()) != before->value("data", json()))
            errors.push_back(FieldError::forbidden("data", why));
    }
}

} // namespace

Behaviour secret_behaviour() {
    Behaviour out;
    out.field_selectors.push_back("type");
    out.set_defaults = secret_defaults;
    out.validate = secret_validate;
    out.columns = {{"Type", "string", "", "Used to facilitate programmatic handling of secret data.", 0},
                   {"Data", "string", "", "Data contains the secret data.", 0}};
    out.cells = [](const json &object) {
        const json *data = find(object, "data");
        return json::array({text_of(object, "type"), data ? data->size() : 0});
    };
    return out;
}

} // namespace kubesim
