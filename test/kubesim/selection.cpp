// LabelSelector objects (spec.selector of workloads) and Service selectors.
#include "selection.hpp"

#include "errors.hpp"

#include <algorithm>
#include <map>

namespace kubesim {

namespace {

bool meets(const json &expression, const json *labels) {
    const std::string op = text_of(expression, "operator");
    const json *label = labels ? find(*labels, text_of(expression, "key")) : nullptr;
    const json *values = find(expression, "values");
    const bool among = label && values && std::find(values->begin(), values->end(), *label) != values->end();
    return op == "Exists" ? label != nullptr : op == "DoesNotExist" ? !label : op == "NotIn" ? !among : among;
}

} // namespace

bool has_labels(const json &wanted, const json *labels) {
    return std::all_of(wanted.items().begin(), wanted.items().end(), [&](const auto &one) {
        const json *label = labels ? find(*labels, one.key()) : nullptr;
        return label && *label == one.value();
    });
}

bool selects(const json &selector, const json *labels) {
    if (selector.is_null())
        return false;
    const json *exact = find(selector, "matchLabels");
    const json *expressions = find(selector, "matchExpressions");
    return (!exact || has_labels(*exact, labels)) &&
           (!expressions ||
            std::all_of(expressions->begin(), expressions->end(), [&](const json &one) { return meets(one, labels); }));
}

std::string selector_text(const json &selector) {
    std::multimap<std::string, std::string> parts; // the server sorts requirements by key
    if (const json *exact = find(selector, "matchLabels"))
        for (const auto &[key, value] : exact->items())
            parts.emplace(key, key + "=" + value.get<std::string>());
    if (const json *expressions = find(selector, "matchExpressions"))
        for (const auto &one : *expressions) {
            const std::string key = text_of(one, "key"), op = text_of(one, "operator");
            std::vector<std::string> values;
            if (const json *list = find(one, "values"))
                values = list->get<std::vector<std::string>>();
            std::sort(values.begin(), values.end());
            std::string all;
            for (const auto &value : values)
                all += (all.empty() ? "" : ",") + value;
            parts.emplace(key, op == "Exists"         ? key
                               : op == "DoesNotExist" ? "!" + key
                                                      : key + (op == "In" ? " in (" : " notin (") + all + ")");
        }
    std::string out;
    for (const auto &[key, part] : parts)
        out += (out.empty() ? "" : ",") + part;
    return out;
}

std::string selector_go(const json &selector) {
    auto strings = [](const json *list) {
        if (!list)
            return std::string("[]string(nil)");
        std::string out;
        for (const auto &one : *list)
            out += (out.empty() ? "" : ", ") + go_quoted(one.get<std::string>());
        return "[]string{" + out + "}";
    };
    std::string labels = "map[string]string(nil)", expressions = "[]v1.LabelSelectorRequirement(nil)";
    if (const json *exact = find(selector, "matchLabels")) {
        std::string all;
        for (const auto &[key, value] : exact->items())
            all += (all.empty() ? "" : ", ") + go_quoted(key) + ":" + go_quoted(value.get<std::string>());
        labels = "map[string]string{" + all + "}";
    }
    if (const json *list = find(selector, "matchExpressions")) {
        std::string all;
        for (const auto &one : *list)
            all += (all.empty() ? "" : ", ") + std::string("v1.LabelSelectorRequirement{Key:") +
                   go_quoted(text_of(one, "key")) + ", Operator:" + go_quoted(text_of(one, "operator")) +
                   ", Values:" + strings(find(one, "values")) + "}";
        expressions = "[]v1.LabelSelectorRequirement{" + all + "}";
    }
    return "v1.LabelSelector{MatchLabels:" + labels + ", MatchExpressions:" + expressions + "}";
}

} // namespace kubesim
