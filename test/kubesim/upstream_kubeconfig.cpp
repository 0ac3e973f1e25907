// The proxy's kubeconfigs: the one that describes the server behind it, and the one for its own clients.
#include "file.hpp"
#include "proxy.hpp"

#include <filesystem>
#include <stdexcept>

namespace kubesim {

namespace {

// The entry of that name in a kubeconfig's list.
YAML::Node entry(YAML::Node kubeconfig, const std::string &list, const std::string &name) {
    for (YAML::Node one : kubeconfig[list])
        if (one["name"].as<std::string>("") == name)
            return one[list.substr(0, list.size() - 1)];
    throw std::runtime_error("the kubeconfig has no \"" + name + "\" among its " + list);
}

// A PEM text: in place as NAME-data, else in the file that NAME names.
std::string pem_of(const YAML::Node &node, const std::string &name, const std::filesystem::path &directory) {
    if (const auto data = node[name + "-data"]) {
        std::string out;
        if (!base64_decode(data.as<std::string>(), out))
            throw std::runtime_error("the kubeconfig's " + name + "-data is not base64");
        return out;
    }
    return node[name] ? read_file(directory / node[name].as<std::string>()) : "";
}

} // namespace

DescribedServer read_upstream(const Options &options) {
    DescribedServer out;
    UpstreamServer &server = out.server;
    if (!options.upstream_kubeconfig.empty()) {
        const auto directory = std::filesystem::path(options.upstream_kubeconfig).parent_path();
        out.kubeconfig = YAML::LoadFile(options.upstream_kubeconfig);
        const YAML::Node context =
            entry(out.kubeconfig, "contexts", out.kubeconfig["current-context"].as<std::string>(""));
        const YAML::Node cluster = entry(out.kubeconfig, "clusters", context["cluster"].as<std::string>(""));
        const YAML::Node user = entry(out.kubeconfig, "users", context["user"].as<std::string>(""));
        server.url = cluster["server"].as<std::string>("");
        server.authority = pem_of(cluster, "certificate-authority", directory);
        server.certificate = pem_of(user, "client-certificate", directory);
        server.key = pem_of(user, "client-key", directory);
        server.token = server.certificate.empty() ? user["token"].as<std::string>("") : "";
    }
    const auto file = [](const std::string &path, std::string &into) {
        if (!path.empty())
            into = read_file(path);
    };
    file(options.upstream_authority, server.authority);
    file(options.upstream_certificate, server.certificate);
    file(options.upstream_key, server.key);
    if (!options.upstream_token.empty())
        server.token = options.upstream_token;
    if (!options.proxy_url.empty())
        server.url = options.proxy_url;
    return out;
}

std::string Proxy::kubeconfig(const std::string &url, const Certificates &certificates) const {
    YAML::Node out = described_.IsNull() ? YAML::Node() : YAML::Clone(described_);
    if (described_.IsNull())
        out = YAML::Load("{apiVersion: v1, kind: Config, current-context: proxy,"
                         " contexts: [{name: proxy, context: {cluster: proxy, user: proxy}}],"
                         " clusters: [{name: proxy, cluster: {}}], users: [{name: proxy, user: {}}]}");
    for (YAML::Node cluster : out["clusters"]) {
        YAML::Node changed;
        changed["server"] = url;
        changed["certificate-authority-data"] = base64(certificates.authority.certificate);
        cluster["cluster"] = changed;
    }
    const YAML::Node current = entry(out, "contexts", out["current-context"].as<std::string>(""));
    for (YAML::Node user : out["users"]) {
        if (user["name"].as<std::string>("") != current["user"].as<std::string>(""))
            continue;
        YAML::Node changed;
        changed["client-certificate-data"] = base64(certificates.admin.certificate);
        changed["client-key-data"] = base64(certificates.admin.key);
        user["user"] = changed;
    }
    YAML::Emitter text;
    text.SetMapFormat(YAML::Block);
    text.SetSeqFormat(YAML::Block);
    text << out;
    return std::string(text.c_str()) + "\n";
}

} // namespace kubesim
