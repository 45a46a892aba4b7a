# SPDX-License-Identifier: MIT
"""C++20 named modules with Clang.

Tested with Bazel 4.2.3 and 7.7.1; on 8 and 9 only what rules_cc 0.2 offers is used (not run there).

cc_module_library: like cc_library, plus `module_interfaces`, an ordered
    {source: module name} dict; a source may import the ones above it.
cc_module_binary, cc_module_test: cc_binary / cc_test whose srcs may import
    modules (and may have interfaces of their own).

Every rule returns an ordinary CcInfo, so an ordinary cc_library, cc_binary or
cc_test can depend on and link a cc_module_library; to write `import x;` the
source has to be compiled by one of the rules here.
"""

load(":compat.bzl", "CC_TOOLCHAIN_TYPE", "CcInfo", "cc_binary", "cc_common", "cc_test", "find_cc_toolchain", "use_cc_toolchain")

CcModuleInfo = provider(
    doc = "The named modules that a target and its deps offer.",
    fields = {
        "modules": "depset of struct(name, pcm): every module and partition, transitively",
        "files": "depset of the .pcm files of the same",
    },
)

_SOURCE = [".cpp", ".cc", ".cxx", ".c++", ".C"]
_INTERFACE = [".cppm", ".ccm", ".cxxm", ".c++m", ".ixx", ".mpp"] + _SOURCE
_HEADER = [".h", ".hpp", ".hh", ".hxx", ".inc", ".ipp", ".inl"]

def _module_flag(module):
    return "-fmodule-file=%s=%s" % (module.name, module.pcm.path)

def _check(ctx, names, inherited):
    seen = {m.name: m.pcm for m in inherited.to_list()}
    for name in names:
        if not name or name.endswith(":") or name.startswith(":"):
            fail("%s: module_interfaces: %r is no module name" % (ctx.label, name))
        if name in seen:
            fail("%s: module_interfaces: module %r is already provided by %s" % (ctx.label, name, seen[name]))
        seen[name] = name

def _stem(path):
    return path.replace("/", "_").replace(".", "_")

def _run(ctx, tool, mnemonic, what, source, output, modules, module_files, arguments):
    args = ctx.actions.args()
    args.add_all(tool.flags)
    args.add_all(modules, map_each = _module_flag)
    args.add_all(arguments)
    args.add(source)
    args.add("-o", output)
    ctx.actions.run(
        executable = tool.compiler,
        arguments = [args],
        env = tool.env,
        inputs = depset([source], transitive = [tool.inputs, module_files]),
        outputs = [output],
        mnemonic = mnemonic,
        progress_message = "%s %s" % (what, source.short_path),
        **({"toolchain": CC_TOOLCHAIN_TYPE} if CC_TOOLCHAIN_TYPE else {})
    )

def _cc_module_library_impl(ctx):
    toolchain = find_cc_toolchain(ctx)
    if ctx.attr.module_interfaces and "clang" not in toolchain.compiler:
        fail("%s: C++ modules need Clang, the C++ toolchain is %r (try CC=clang)" % (ctx.label, toolchain.compiler))
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = toolchain,
        requested_features = ctx.features,
        # Clang header modules and Bazel's own C++20 support: not what is done here.
        unsupported_features = ctx.disabled_features + ["cpp_modules", "header_modules", "layering_check", "module_maps", "parse_headers", "use_header_modules"],
    )

    # What the deps offer, and what this target adds to it.
    package = "/".join([p for p in [ctx.label.workspace_root, ctx.label.package] if p])
    bin_dir = ctx.bin_dir.path
    includes = []
    for inc in ctx.attr.includes:
        here = "/".join([p for p in [package, inc if inc != "." else ""] if p]) or "."
        includes += [here, bin_dir + "/" + here]
    quotes = [ctx.label.workspace_root or ".", "/".join([p for p in [bin_dir, ctx.label.workspace_root] if p])]
    own = cc_common.create_compilation_context(
        headers = depset(ctx.files.hdrs),
        system_includes = depset(includes),
        quote_includes = depset(quotes),
        defines = depset(ctx.attr.defines),
    )
    dep_infos = [d[CcInfo] for d in ctx.attr.deps]
    context = cc_common.merge_cc_infos(
        direct_cc_infos = [CcInfo(compilation_context = own)],
        cc_infos = dep_infos,
    ).compilation_context
    inherited = depset(transitive = [d[CcModuleInfo].modules for d in ctx.attr.deps if CcModuleInfo in d])
    inherited_files = depset(transitive = [d[CcModuleInfo].files for d in ctx.attr.deps if CcModuleInfo in d])
    _check(ctx, ctx.attr.module_interfaces.values(), inherited)

    # The compiler and the flags that this configuration gives every C++ source.
    variables = cc_common.create_compile_variables(
        feature_configuration = features,
        cc_toolchain = toolchain,
        user_compile_flags = ctx.fragments.cpp.copts + ctx.fragments.cpp.cxxopts + ctx.attr.copts,
        include_directories = context.includes,
        quote_include_directories = context.quote_includes,
        system_include_directories = context.system_includes,
        preprocessor_defines = depset(ctx.attr.local_defines, transitive = [context.defines]),
        use_pic = cc_common.is_enabled(feature_configuration = features, feature_name = "supports_pic"),  # one .pcm and .o for every kind of link
    )
    action = "c++-compile"
    compiler = cc_common.get_tool_for_action(feature_configuration = features, action_name = action)
    flags = cc_common.get_memory_inefficient_command_line(feature_configuration = features, action_name = action, variables = variables)
    env = cc_common.get_environment_variables(feature_configuration = features, action_name = action, variables = variables)
    headers = [h for h in ctx.files.srcs if "." + h.extension in _HEADER]
    common_inputs = depset(headers, transitive = [toolchain.all_files, context.headers])

    out_dir = "_modules/" + ctx.label.name + "/"

    tool = struct(compiler = compiler, flags = flags, env = env, inputs = common_inputs)

    # Interfaces: source -> .pcm in the order given, then .pcm -> .o in any order.
    objects = []
    modules = []
    pcms = []
    for target, name in ctx.attr.module_interfaces.items():
        files = target.files.to_list()
        if len(files) != 1:
            fail("%s: module_interfaces: %s is not one file" % (ctx.label, target.label))
        source = files[0]
        pcm = ctx.actions.declare_file(out_dir + name.replace(":", "-") + ".pcm")
        obj = ctx.actions.declare_file(out_dir + name.replace(":", "-") + ".pcm.o")
        known = depset(list(modules), transitive = [inherited])

        # Clang opens a module's source to explain an error. A .pcm names it by its absolute path in the sandbox of its own
        # action, which is gone by then: so it goes into the .pcm.
        known_files = depset(list(pcms), transitive = [inherited_files])
        _run(ctx, tool, "CppModulePrecompile", "Precompiling module", source, pcm, known, known_files, ["--precompile", "-x", "c++-module", "-Xclang", "-fmodules-embed-file=" + source.path])
        _run(ctx, tool, "CppModuleCodegen", "Compiling module", pcm, obj, known, known_files, ["-Wno-unused-command-line-argument", "-c"])
        modules.append(struct(name = name, pcm = pcm))
        pcms.append(pcm)
        objects.append(obj)

    # Everything else sees all of them.
    all_modules = depset(modules, transitive = [inherited])
    all_files = depset(pcms, transitive = [inherited_files])
    for source in ctx.files.srcs:
        if "." + source.extension in _HEADER:
            continue
        obj = ctx.actions.declare_file(out_dir + _stem(source.short_path) + ".o")
        _run(ctx, tool, "CppModuleCompile", "Compiling", source, obj, all_modules, all_files, ["-c"])
        objects.append(obj)

    # Link like cc_library does.
    outputs = cc_common.create_compilation_outputs(pic_objects = depset(objects), objects = depset(objects))
    linking, linked = cc_common.create_linking_context_from_compilation_outputs(
        actions = ctx.actions,
        name = ctx.label.name,
        feature_configuration = features,
        cc_toolchain = toolchain,
        compilation_outputs = outputs,
        linking_contexts = [i.linking_context for i in dep_infos],
        user_link_flags = ctx.attr.linkopts,
        alwayslink = ctx.attr.alwayslink,
        disallow_dynamic_library = True,
    )
    archives = []
    if linked.library_to_link:
        lib = linked.library_to_link
        archives = [a for a in [lib.static_library, lib.pic_static_library] if a]
    runfiles = ctx.runfiles(files = ctx.files.data)
    for dep in ctx.attr.deps + ctx.attr.data:
        runfiles = runfiles.merge(dep[DefaultInfo].default_runfiles)
    return [
        DefaultInfo(files = depset(archives), runfiles = runfiles),
        CcInfo(compilation_context = context, linking_context = linking),
        CcModuleInfo(modules = all_modules, files = all_files),
        OutputGroupInfo(module_files = depset(pcms), compilation_outputs = depset(objects)),
    ]

cc_module_library = rule(
    implementation = _cc_module_library_impl,
    doc = "A C++ library that offers named modules.",
    attrs = {
        "module_interfaces": attr.label_keyed_string_dict(allow_files = _INTERFACE, doc = "{source: module name}, importable from top to bottom"),
        "srcs": attr.label_list(allow_files = _SOURCE + _HEADER, doc = "implementation units and ordinary sources"),
        "hdrs": attr.label_list(allow_files = _HEADER),
        "deps": attr.label_list(providers = [CcInfo]),
        "data": attr.label_list(allow_files = True),
        "copts": attr.string_list(),
        "defines": attr.string_list(),
        "local_defines": attr.string_list(),
        "includes": attr.string_list(),
        "linkopts": attr.string_list(),
        "alwayslink": attr.bool(),
        "_cc_toolchain": attr.label(default = "@rules_cc//cc:current_cc_toolchain"),
    },
    fragments = ["cpp"],
    toolchains = use_cc_toolchain(),
    provides = [CcInfo, CcModuleInfo],
)

_BOTH = ["features", "tags", "target_compatible_with"]
_LIBRARY_ONLY = ["module_interfaces", "srcs", "copts", "defines", "local_defines", "includes", "deps"]

def _executable(rule, name, testonly, kwargs):
    lib = {key: kwargs.pop(key) for key in _LIBRARY_ONLY if key in kwargs}
    lib.update({key: kwargs[key] for key in _BOTH if key in kwargs})
    lib["tags"] = lib.get("tags", []) + ["manual"]
    cc_module_library(
        name = name + ".objects",
        alwayslink = True,
        testonly = testonly,
        visibility = ["//visibility:private"],
        **lib
    )
    rule(name = name, deps = [name + ".objects"], **kwargs)

def cc_module_binary(name, **kwargs):
    """cc_binary whose srcs may import modules."""
    _executable(cc_binary, name, kwargs.get("testonly", False), kwargs)

def cc_module_test(name, **kwargs):
    """cc_test whose srcs may import modules."""
    _executable(cc_test, name, True, kwargs)
