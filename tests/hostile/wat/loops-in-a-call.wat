;; Never answers.
(module
  (import "archipel:host/credentials@0.1.0" "[resource-drop]local-token" (func $drop (param i32)))

  (memory (export "memory") 2)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
  (func (export "archipel:cloud/quota@0.1.0#get-user-quota") (param i32) (result i32)
    (call $drop (local.get 0))
    (loop $again (br $again))
    (i32.const 64)))
