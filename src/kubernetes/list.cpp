// Pages of lists; see the header. Runs in the mirror worker.
#include "kubernetes/list.hpp"

#include "kubernetes/json_access.hpp"

namespace dbnet::kubernetes {

ListPage parse_list(std::string_view body, const Resource &resource) {
    nlohmann::json document = parse_json(body);
    const nlohmann::json *metadata = member(&document, "metadata");
    ListPage page;
    page.resource_version = text_member(metadata, "resourceVersion");
    if (page.resource_version.empty())
        throw Failure("the server's answer is no list of " + resource.plural + ": " + std::string(body.substr(0, 200)));
    page.continue_token = text_member(metadata, "continue");
    page.remaining = integer_member(metadata, "remainingItemCount", -1);
    const auto items = document.find("items"); // null when there are none
    if (items == document.end() || !items->is_array())
        return page;
    const std::string api_version = resource.api_version();
    page.items.reserve(items->size());
    for (nlohmann::json &item : *items) {
        if (text_member(member(&item, "metadata"), "name").empty())
            throw Failure("the server's list of " + resource.plural + " holds something without a name");
        item["apiVersion"] = api_version;
        item["kind"] = resource.kind;
        page.items.push_back(std::move(item));
    }
    return page;
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
